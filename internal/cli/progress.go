package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// redraw is how often a progress line changes at most: faster nobody reads.
const redraw = 100 * time.Millisecond

// Progress is one line on a terminal that is drawn again and again. On
// anything else it draws nothing. It is not for concurrent use.
type Progress struct {
	to    *os.File // nil: not a terminal
	drawn time.Time
}

// NewProgress draws on w if it is a terminal.
func NewProgress(w io.Writer) *Progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Progress{to: f}
	}
	return &Progress{}
}

// Shown reports whether anybody sees what is drawn.
func (p *Progress) Shown() bool { return p.to != nil }

// Draw replaces the line, unless it was replaced just now. A line that is too
// wide for the terminal is cut: one that wraps could not be replaced.
func (p *Progress) Draw(line string) {
	if p.to == nil || time.Since(p.drawn) < redraw {
		return
	}
	p.drawn = time.Now()
	if width, _, err := term.GetSize(int(p.to.Fd())); err == nil && width > 0 && len(line) >= width {
		line = line[:width-1]
	}
	fmt.Fprintf(p.to, "\r\x1b[K%s", line)
}

// Clear takes the line away, for the words that follow.
func (p *Progress) Clear() {
	if p.to != nil && !p.drawn.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// Bytes writes a number of bytes for people: "812 B", "1.2 MB".
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}

const units = "kMGTPE"
