package e2e

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// The secrets of the tests: what is in a password, a token and a signed address.
// None may ever stand in what a command of ours writes, whatever the test is
// about. They share their beginning, so that a part of one is found too.
const (
	canary          = "C4N4RY-"
	canaryPassword  = canary + "p4ssw0rd"
	canaryToken     = canary + "t0k3n"
	canarySignature = canary + "s1gn4tur3"
)

// written looks at all that our commands write in all tests.
var written outputs

// outputs remembers where a secret was written.
type outputs struct {
	mu     sync.Mutex // guards what follows
	leaked []string
}

// look takes what a program wrote. Only our own are looked at: a registry may
// say what it likes.
func (o *outputs) look(program string, args []string, text []byte) {
	name := filepath.Base(program)
	if !slices.Contains([]string{"regfs", "bundle", "upload"}, name) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(canary)) || bytes.Contains(line, []byte(auth)) {
			o.leaked = append(o.leaked, fmt.Sprintf("%s %q: %.300s", name, args, line))
		}
	}
}

// leaks lists where a secret was written.
func (o *outputs) leaks() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leaked
}

// TestSecretsAreFound: the search that ends all tests finds what it is for.
func TestSecretsAreFound(t *testing.T) {
	var o outputs
	for _, text := range []string{"password=" + canaryPassword, "Bearer " + canaryToken + "-1", "?sig=" + canarySignature, "Basic " + auth} {
		o.look("/bin/regfs", nil, []byte("a line\n"+text+"\nanother\n"))
	}
	o.look("/bin/docker-registry", nil, []byte(canaryPassword))
	o.look("/bin/upload", nil, []byte("nothing secret\n"))
	if got := o.leaks(); len(got) != 4 {
		t.Errorf("got %q, want four lines", got)
	}
}
