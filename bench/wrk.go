package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// randomPaths is a script for wrk that asks for the lines of a file at random.
const randomPaths = `
local requests = {}
function init(args)
	math.randomseed(os.time())
	for path in io.lines(%q) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request() return requests[math.random(#requests)] end
`

// errTimedOut says that wrk waited in vain for some of the answers, two seconds each.
var errTimedOut = errors.New("answers timed out")

// onlyTimedOut finds that nothing else was wrong.
var onlyTimedOut = regexp.MustCompile(`Socket errors: connect 0, read 0, write 0, timeout \d+\n`)

// wrk loads a server with requests for paths at random and gives the answers
// per second, also with errTimedOut. Headers are as "Name: value".
func (b *bench) wrk(url string, connections int, paths []string, headers ...string) (float64, error) {
	out, err := b.runWrk(url, connections, paths, headers...)
	if err != nil && !errors.Is(err, errTimedOut) {
		return 0, err
	}
	_, after, _ := strings.Cut(out, "Requests/sec:")
	var rate float64
	_, scan := fmt.Sscan(after, &rate)
	return rate, errors.Join(err, scan)
}

// runWrk gives what wrk says.
func (b *bench) runWrk(url string, connections int, paths []string, headers ...string) (string, error) {
	list, script := filepath.Join(b.temp, "paths"), filepath.Join(b.temp, "wrk.lua")
	if err := os.WriteFile(list, []byte(strings.Join(paths, "\n")+"\n"), 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(script, fmt.Appendf(nil, randomPaths, list), 0o644); err != nil {
		return "", err
	}
	args := []string{"-t2", "--latency", fmt.Sprintf("-c%d", connections), "-d" + b.load.String(), "-s", script}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	out, err := b.command("wrk", append(args, url)...)
	if err != nil {
		return "", err
	}
	switch {
	case !strings.Contains(out, "Requests/sec:") || strings.Contains(out, "Socket errors") && !onlyTimedOut.MatchString(out):
		return "", fmt.Errorf("wrk: %s", out)
	case strings.Contains(out, "Socket errors"):
		return out, fmt.Errorf("wrk: %w: %s", errTimedOut, out)
	}
	return out, nil
}
