// Command bench measures regfs beside what a user would have without it, and
// writes one table of ratios: nginx over a local folder, curl for transfers, tar
// and gzip for publishing. Each row's measurement is in the file named after its
// kind: warm.go, gzip.go, cold.go, listing.go, browser.go, fairness.go, storm.go,
// memory.go, publish.go, rules.go.
// What a user can install in place of regfs (rclone, squashfuse, crane) is
// measured beside it.
//
// It works on the built commands, a real docker-registry, nginx and wrk, and
// knows nothing of the packages that they are made of. It needs root, for
// mounting and for dropping the kernel's caches of names. It is run by
// "make bench"; all it leaves is below .data/bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run: what it measures with, and how often.
type bench struct {
	ctx      context.Context // ends at SIGINT and SIGTERM
	short    bool
	site     string // folder to measure with in place of docs; "" for none
	rows     *regexp.Regexp
	runs     int           // of each side of a pair
	peerRuns int           // of a peer
	load     time.Duration // of one run of wrk
	dir      string        // absolute; all that the bench writes
	temp     string        // below dir; emptied at the start
	ends     []func()      // what to undo at the end, last first
	served   registry
	docs     corpus
	local    string         // docs on ext4, once it is there
	webdav   string         // host:port of rclone serve, once it was started
	masters  map[string]int // processes of nginx, by their URLs
	table    table
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := &bench{ctx: ctx, masters: map[string]int{}, runs: 5, peerRuns: 5, load: 3 * time.Second}
	flag.BoolVar(&b.short, "short", false, "smaller corpora and fewer runs")
	flag.StringVar(&b.site, "site", "", "`folder` with a website to measure with in place of docs")
	rows := flag.String("rows", "", "only rows whose name matches this `expression`")
	out := flag.String("out", "", "`file` to write the table to")
	form := flag.String("storm", "", "only ask -server for names of this `form`, from number -first on, until stdin ends: for the bench itself")
	server := flag.String("server", "", "`URL` for -storm")
	first := flag.Int("first", 0, "`number` for -storm")
	flag.Parse()
	if *form != "" {
		return makeUpNames(*server, *form, *first)
	}
	if b.short {
		b.runs, b.peerRuns, b.load = 3, 1, time.Second
	}
	var err error
	if b.rows, err = regexp.Compile(*rows); err != nil {
		return err
	}
	defer b.end()
	if err := b.prepare(); err != nil {
		return err
	}
	b.measure()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.report(*out)
}

// prepare makes an empty folder, the corpus that most rows share, and the
// registry that holds it.
func (b *bench) prepare() error {
	dir, err := filepath.Abs(".data/bench")
	if err != nil {
		return err
	}
	b.dir, b.temp = dir, filepath.Join(dir, "run")
	if err := checkPrograms(); err != nil {
		return err
	}
	if err := b.clear(); err != nil {
		return err
	}
	if b.docs, err = b.makeDocs(); err != nil {
		return err
	}
	if b.served, err = b.startRegistry(); err != nil {
		return err
	}
	return b.publish(&b.docs)
}

// measure makes the rows. One that fails says so in the table, and the others
// go on.
func (b *bench) measure() {
	for _, group := range []struct {
		rows string
		make func() error
	}{
		{"W0 W1 W2 W3 W4 M1", b.warm},
		{"W5", b.sharing},
		{"W6", b.compressed},
		{"R1", b.rules},
		{"C1 C2", b.firstBytes},
		{"C3", b.listings},
		{"C4", b.wholeSite},
		{"C5", b.browsing},
		{"F1", b.fairness},
		{"F2", b.storm},
		{"M2", b.walk},
		{"M3", b.starting},
		{"P1 P2", b.bundling},
		{"P3", b.uploading},
	} {
		if b.ctx.Err() != nil || b.site != "" && slices.Contains([]string{"C5", "F1", "F2", "M2", "M3"}, group.rows) || !b.rows.MatchString(group.rows) {
			continue
		}
		if err := group.make(); err != nil {
			b.table.add(row{id: group.rows, what: "not measured: " + strings.Join(strings.Fields(err.Error()), " ")})
		}
	}
}

// end undoes what was done, last first.
func (b *bench) end() {
	for i := len(b.ends) - 1; i >= 0; i-- {
		b.ends[i]()
	}
}
