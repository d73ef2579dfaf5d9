package site

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAFailureIsRememberedForAMoment: whoever asks again at once hears the same, and
// the registry nothing.
func TestAFailureIsRememberedForAMoment(t *testing.T) {
	for name, size := range map[string]int{"a layer that is read whole": 1 << 20, "a layer that is read in parts": 9 << 20} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			files := map[string]string{"a": noise(size, 1), "b": noise(size, 2)}
			l, _ := w.open(t.TempDir())
			s := w.load(l, "app", "v1", files)
			now := time.Now()
			l.fetches.failed.now = func() time.Time { return now }
			w.SetAnswer(noBlobsOf("app"))
			want := func(requests int) {
				t.Helper()
				asked, _ := w.Since(func() {
					if _, err := read(s, "a"); !errors.Is(err, fs.ErrPermission) {
						t.Errorf("got %v, want ErrPermission", err)
					}
				})
				if len(asked) != requests {
					t.Errorf("got requests %q, want %d", asked, requests)
				}
			}
			want(1)
			want(0)
			now = now.Add(failureAge)
			want(1)
			w.SetAnswer(nil)
			want(0)
			now = now.Add(failureAge)
			wantRead(t, s, "a", files["a"])
			wantRead(t, s, "b", files["b"])
		})
	}
}

// noBlobsOf answers for the blobs of a repository with what is not tried again.
func noBlobsOf(repo string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v2/"+repo+"/blobs/") {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}
}

// TestAFailureIsOfOneRepository: another that has the same blob is asked for it.
func TestAFailureIsOfOneRepository(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{"a": noise(1<<20, 1)}
	l, _ := w.open(t.TempDir())
	s, other := w.load(l, "app", "v1", files), w.load(l, "other", "v1", files)
	w.SetAnswer(noBlobsOf("app"))
	if _, err := read(s, "a"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want ErrPermission", err)
	}
	wantRead(t, other, "a", files["a"])
}

func TestFailuresAreBounded(t *testing.T) {
	f := failures{now: time.Now}
	for i := range int64(3 * maxFailures) {
		f.note(place{offset: i}, errBroken)
	}
	if len(f.of) > maxFailures || f.check(place{offset: 3*maxFailures - 1}) == nil || f.check(place{offset: 1}) != nil {
		t.Errorf("got %d failures, want at most %d, the latest", len(f.of), maxFailures)
	}
}
