// Package harness starts servers for tests and benchmarks, and stops them.
//
// An [Env] owns everything that one run starts: a temporary folder and the
// processes. Closing it kills every process with its whole process group and
// removes the folder; after a failure the folder, with all logs, is kept.
//
// Rules that hold for every server started here:
//   - it listens on loopback only, on a port that was free a moment before;
//   - its standard output and error go to <folder>/<name>.log;
//   - it dies with this process, also when this process is killed.
//
// The package uses nothing but the standard library, so that every Go module
// of the repository can share it.
package harness
