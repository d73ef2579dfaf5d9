package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// staleness is how old what a reader is told may be: a refresh, the second for
// which an absence is believed, here and in the kernel, and what a loaded machine
// adds to that.
const staleness = 5 * time.Second

// absent is what a tag names that is deleted.
const absent = ""

// write is the input of an operation that sets the register; that of a read is
// nil, and its output the value.
type write struct{ value string }

// register is what a tag is: reads give what was written last, or absent.
var register = porcupine.Model{
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		if w, ok := input.(write); ok {
			return true, w.value
		}
		return output == state, state
	},
	DescribeOperation: func(input, output any) string {
		if w, ok := input.(write); ok {
			return fmt.Sprintf("write %q", w.value)
		}
		return fmt.Sprintf("read %q", output)
	},
}

// bounded makes a history one that is linearizable just when no read is staler
// than the bound: a read may give what was true at any moment from so long before
// it began until it ended.
func bounded(history []porcupine.Operation, bound time.Duration) []porcupine.Operation {
	wide := make([]porcupine.Operation, len(history))
	for i, op := range history {
		if _, ok := op.Input.(write); !ok {
			op.Call -= int64(bound)
		}
		wide[i] = op
	}
	return wide
}

// TestTheModelTellsStaleFromFresh checks the checker.
func TestTheModelTellsStaleFromFresh(t *testing.T) {
	at := func(call, ret time.Duration, input any, output string) porcupine.Operation {
		return porcupine.Operation{Call: int64(call), Return: int64(ret), Input: input, Output: output}
	}
	const s = time.Second
	writes := []porcupine.Operation{at(1*s, 2*s, write{"a"}, ""), at(10*s, 11*s, write{"b"}, ""), at(30*s, 31*s, write{absent}, "")}
	for name, test := range map[string]struct {
		read porcupine.Operation
		want porcupine.CheckResult
	}{
		"fresh":                 {at(12*s, 12*s, nil, "b"), porcupine.Ok},
		"stale, in bounds":      {at(14*s, 14*s, nil, "a"), porcupine.Ok},
		"too stale":             {at(17*s, 17*s, nil, "a"), porcupine.Illegal},
		"before it was written": {at(8*s, 9*s, nil, "b"), porcupine.Illegal},
		"while it is written":   {at(9*s, 10*s, nil, "b"), porcupine.Ok},
		"never written":         {at(12*s, 12*s, nil, "c"), porcupine.Illegal},
		"absent, wrongly":       {at(20*s, 21*s, nil, absent), porcupine.Illegal},
		"there, wrongly":        {at(40*s, 41*s, nil, "b"), porcupine.Illegal},
		"absent":                {at(40*s, 41*s, nil, absent), porcupine.Ok},
	} {
		history := bounded(append([]porcupine.Operation{test.read}, writes...), staleness)
		if got := porcupine.CheckOperationsTimeout(register, history, startLimit); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// TestATagIsARegisterOfBoundedStaleness runs random histories of pushes, moves,
// deletions and crashes of the daemon, with readers in the mount and through
// nginx, and has a checker look for a read that nothing explains.
func TestATagIsARegisterOfBoundedStaleness(t *testing.T) {
	once(t)
	for seed := range uint64(sized(1, 10)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(t, seed, sized(12, 40))
			h.run()
			h.check()
		})
	}
}

// history is a tag that changes at random, and what its readers saw.
type history struct {
	t        testing.TB
	random   *rand.Rand
	reg      *registry
	d        *daemon
	web      *nginx
	begin    time.Time
	versions []manifestBytes // of the contents v0, v1, … of the file f
	steps    int
	client   *keepAlive

	down atomic.Bool // the daemon is crashed, and its mountpoint not to be judged
	mu   sync.Mutex
	ops  []porcupine.Operation
}

func newHistory(t testing.TB, seed uint64, steps int) *history {
	t.Helper()
	h := &history{t: t, random: rand.New(rand.NewPCG(seed, 5)), reg: startRegistry(t), steps: steps}
	for i := range steps {
		h.versions = append(h.versions, pushVersion(t, h.reg.host, fmt.Sprint("v", i)))
	}
	h.d = mount(t, h.reg.host, quick)
	h.web = startNginx(t, h.d.dir)
	h.client = newKeepAlive(t, 2)
	h.begin = time.Now()
	return h
}

// pushVersion pushes a site whose file f has the content, as a tag of that name.
func pushVersion(t testing.TB, host, content string) manifestBytes {
	t.Helper()
	image := plainImage(t, site{"f": []byte(content)}.tarGz(t))
	ref, err := name.ParseReference(host + "/my-app:" + content)
	must(t, err)
	must(t, remote.Write(ref, image, remote.WithTransport(client.Transport), remote.WithContext(t.Context())))
	mediaType, err := image.MediaType()
	must(t, err)
	text, err := image.RawManifest()
	must(t, err)
	return manifestBytes{string(mediaType), text}
}

// note adds an operation that began at call and ended just now.
func (h *history) note(client int, call time.Duration, input any, output string) {
	op := porcupine.Operation{ClientId: client, Input: input, Call: int64(call), Output: output, Return: int64(time.Since(h.begin))}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

func (h *history) run() {
	over := make(chan struct{})
	var wait sync.WaitGroup
	defer wait.Wait()
	defer close(over)
	readers := []func() (string, bool){h.readFile, h.readFile, h.readPage, h.readPage}
	for i, read := range readers {
		wait.Go(func() { h.read(i+1, read, over) })
	}
	current := -1 // the version, if any
	for i := range h.steps {
		current = h.step(i, current)
		time.Sleep(time.Duration(h.random.Int64N(int64(1500 * time.Millisecond))))
	}
	last := fmt.Sprint("v", h.steps-1)
	h.write(last, func() { h.reg.putManifest(h.t, "my-app", "live", h.versions[h.steps-1]) })
	waitFor(h.t, h.d.path("my-app/live/f"), []byte(last))
}

// step does one thing at random, and gives what version the tag is then, or -1.
func (h *history) step(i, current int) int {
	switch dice := h.random.IntN(10); {
	case dice < 2 && current >= 0:
		h.write(absent, func() { h.reg.deleteDigest(h.t, "my-app", h.versions[current].digest()) })
		return -1
	case dice < 3:
		h.down.Store(true)
		h.d.kill()
		h.d.launch(h.t)
		h.down.Store(false)
		return current
	}
	h.write(fmt.Sprint("v", i), func() { h.reg.putManifest(h.t, "my-app", "live", h.versions[i]) })
	return i
}

func (h *history) write(value string, do func()) {
	call := time.Since(h.begin)
	do()
	h.note(0, call, write{value}, "")
}

// read reads again and again. What fails says nothing, and neither does what was
// under way during a crash.
func (h *history) read(client int, read func() (string, bool), over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(70 * time.Millisecond):
		}
		call, crashed := time.Since(h.begin), h.down.Load()
		value, ok := read()
		if ok && !crashed && !h.down.Load() {
			h.note(client, call, nil, value)
		}
	}
}

func (h *history) readFile() (string, bool) {
	text, err := os.ReadFile(h.d.path("my-app/live/f"))
	if errors.Is(err, fs.ErrNotExist) {
		return absent, true
	}
	return string(text), err == nil
}

func (h *history) readPage() (string, bool) {
	var body bytes.Buffer
	status := h.client.get(h.web.url+"/my-app/live/f", &body)
	if status == http.StatusNotFound {
		return absent, true
	}
	return body.String(), status == http.StatusOK
}

func (h *history) check() {
	h.t.Helper()
	reads := map[string]int{}
	for _, op := range h.ops {
		if op.Input == nil {
			reads[op.Output.(string)]++
		}
	}
	h.t.Logf("%d operations, reads of %v; no read was staler than %v", len(h.ops), reads, h.stalest())
	switch porcupine.CheckOperationsTimeout(register, bounded(h.ops, staleness), runLimit) {
	case porcupine.Illegal:
		h.t.Errorf("a read gave what the tag was not within %v before it:", staleness)
		for _, op := range h.ops {
			h.t.Logf("%8v to %8v  %s", time.Duration(op.Call).Round(time.Millisecond), time.Duration(op.Return).Round(time.Millisecond), register.DescribeOperation(op.Input, op.Output))
		}
	case porcupine.Unknown:
		h.t.Errorf("the history of %d operations was not checked within %v", len(h.ops), runLimit)
	}
	if len(reads) < 3 {
		h.t.Errorf("the readers saw %v, want several versions", reads)
	}
}

// stalest is the least of some bounds that explains all reads.
func (h *history) stalest() time.Duration {
	for _, bound := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second} {
		if porcupine.CheckOperationsTimeout(register, bounded(h.ops, bound), time.Second) == porcupine.Ok {
			return bound
		}
	}
	return staleness
}
