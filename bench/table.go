package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// row is one figure beside its limit.
type row struct {
	id, what    string
	ours, limit string
	ratio       string // with the least and the most of the runs
	must        string // what was set as the aim
	reached     string
	peers       map[string]string // what others have in place of ratio
	note        string
}

// others are the peers that have a column.
var others = []string{rcloneName, squashfuseName, craneName}

type table struct{ rows []row }

// add keeps a row and shows it at once.
func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	fmt.Fprintln(os.Stderr, r.line())
}

func (r row) line() string {
	cells := []string{r.id, r.what, r.ours, r.limit, r.ratio, r.must, r.reached}
	for _, name := range others {
		cells = append(cells, r.peers[name])
	}
	return "| " + strings.Join(append(cells, r.note), " | ") + " |"
}

// throughput adds a row where more is better: at least must of the limit, 0 for
// no aim.
func (t *table) throughput(id, what string, p pair, must float64, note string) {
	r := p.row(id, what, "%.0f/s")
	if must > 0 {
		r.must, r.reached = fmt.Sprintf("≥ %.2f", must), yes(median(p.ratios()) >= must)
	}
	r.note = note
	t.add(r)
}

// duration adds a row where less is better: at most must times the limit.
func (t *table) duration(id, what string, p pair, must float64, note string) {
	r := p.row(id, what, "%.3f s")
	r.must, r.reached = fmt.Sprintf("≤ %.2f", must), yes(median(p.ratios()) <= must)
	r.note = note
	t.add(r)
}

// moment adds a row of times below a thousandth of a second, where less is better: at
// most must times the limit, 0 for no aim.
func (t *table) moment(id, what string, p pair, must float64, note string) {
	short := pair{peers: p.peers}
	for i := range p.ours {
		short.ours, short.limit = append(short.ours, p.ours[i]*1e6), append(short.limit, p.limit[i]*1e6)
	}
	r := short.row(id, what, "%.0f µs")
	if must > 0 {
		r.must, r.reached = fmt.Sprintf("≤ %.2f", must), yes(median(p.ratios()) <= must)
	}
	r.note = note
	t.add(r)
}

func (p pair) row(id, what, format string) row {
	all := p.ratios()
	peers := map[string]string{}
	for name, values := range p.peers {
		peers[name] = fmt.Sprintf("%.2f", median(p.against(values)))
	}
	return row{
		id: id, what: what, peers: peers,
		ours: fmt.Sprintf(format, median(p.ours)), limit: fmt.Sprintf(format, median(p.limit)),
		ratio: fmt.Sprintf("%.2f (%.2f–%.2f)", median(all), all[0], all[len(all)-1]),
	}
}

func yes(reached bool) string {
	if reached {
		return "yes"
	}
	return "**no**"
}

// report prints the table, with what it was made on, and writes it to out.
func (b *bench) report(out string) error {
	commit, err := b.command("git", "describe", "--always", "--dirty")
	if err != nil {
		return err
	}
	machine, err := b.shell("uname -sr; nginx -v 2>&1")
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s, commit %s, %d cores, %s.\n", time.Now().UTC().Format(time.DateOnly), strings.TrimSpace(commit),
		runtime.NumCPU(), strings.ReplaceAll(strings.TrimSpace(machine), "\n", ", "))
	fmt.Fprintf(&text, "Medians of %d alternating runs; ratios are taken run by run (median, least–most). Corpus %s: %d files, %d MB.%s\n\n",
		b.runs, b.docs.name, len(b.docs.files), b.docs.bytes()/1e6, b.shortened())
	fmt.Fprintf(&text, "| id | what | regfs | limit | ratio | must reach | reached | %s | note |\n|---|---|---|---|---|---|---|%s---|\n",
		strings.Join(others, " | "), strings.Repeat("---|", len(others)))
	for _, r := range b.table.rows {
		text.WriteString(r.line() + "\n")
	}
	text.WriteString(b.table.whys())
	fmt.Print(text.String())
	if out == "" {
		return nil
	}
	return os.WriteFile(out, []byte("# What `make bench` measured\n\n"+text.String()), 0o644)
}

func (b *bench) shortened() string {
	if !b.short {
		return ""
	}
	return " Made with SHORT=1: fewer runs and smaller sites than the aims are meant for (docs 8,000 files, 120 MB; big 1 GB; many 200,000 files)."
}

// whys tells, of each row that did not reach its aim, what was found to be the
// cause.
func (t *table) whys() string {
	var text strings.Builder
	for _, r := range t.rows {
		if r.reached != yes(false) {
			continue
		}
		if why := r.why(); why != "" && !strings.Contains(text.String(), why) {
			fmt.Fprintf(&text, "- **%s**, %s: %s\n", r.id, r.what, why)
		}
	}
	if text.Len() == 0 {
		return ""
	}
	return "\nWhat was not reached, and what was found to be the cause:\n\n" + text.String()
}
