module helium.dev/tests/harness

go 1.26
