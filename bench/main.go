// Command bench compares servers of the etcd API that already run.
//
//	bench --endpoint etcd=127.0.0.1:2379 --endpoint shim=127.0.0.1:2381+127.0.0.1:2382 --pid shim=4711
//
// The first endpoint is the one that ratios refer to. Several addresses joined
// by + are instances of one store. To start everything as well: bench/run.sh.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"helium.dev/bench/cli"
	"helium.dev/bench/measure"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	var systems []*measure.System
	find := func(name string) (*measure.System, error) {
		for _, system := range systems {
			if system.Name == name {
				return system, nil
			}
		}
		return nil, fmt.Errorf("no --endpoint named %q before it", name)
	}
	flag.Func("endpoint", "NAME=HOST:PORT[+HOST:PORT…], repeated; the first is what the others are compared with", func(text string) error {
		name, addresses, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("expected NAME=HOST:PORT")
		}
		systems = append(systems, &measure.System{Name: name, Addresses: strings.Split(addresses, "+")})
		return nil
	})
	flag.Func("watch-endpoint", "NAME=HOST:PORT: the instance through which the cell watch-other watches", func(text string) error {
		name, address, _ := strings.Cut(text, "=")
		system, err := find(name)
		if err == nil {
			system.WatchAddress = address
		}
		return err
	})
	flag.Func("pid", "NAME=PID[,PID…]: the endpoint's processes, to print their CPU time", func(text string) error {
		name, pids, _ := strings.Cut(text, "=")
		system, err := find(name)
		if err != nil {
			return err
		}
		for text := range strings.SplitSeq(pids, ",") {
			pid, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			system.PIDs = append(system.PIDs, pid)
		}
		return nil
	})
	flags := cli.Register(flag.CommandLine)
	flag.Parse()
	options, err := flags.Options()
	if err != nil {
		return err
	}
	if len(systems) == 0 {
		return fmt.Errorf("no --endpoint given")
	}
	rows, err := measure.Run(context.Background(), systems, options)
	return errors.Join(err, flags.Print(rows))
}
