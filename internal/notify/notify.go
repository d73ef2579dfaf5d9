// Package notify takes the notifications that registries send when something was
// pushed or deleted, and says which tags they are about.
//
// It knows the shapes that registries give them, who may send them, and how many
// are too many. It does not know whether they are true, nor what a tag is good
// for: whoever is told had better ask the registry.
package notify

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxBody bounds one notification, in bytes. zot puts the whole manifest into
	// it; one that is larger is found without it, within a refresh.
	maxBody = 1 << 20
	// bodiesAtOnce bounds the memory for them.
	bodiesAtOnce = 8
	// perSecond is how many are taken. A docker-registry that also tells of each
	// pull sends more, and need not. All registries here send again what was
	// refused.
	perSecond = 200
	// MinSecret is the shortest secret in bytes: 16 letters and digits are not
	// guessed over a network.
	MinSecret = 16
	// refusedEvery is how often it is logged that somebody has not the secret.
	refusedEvery = 10 * time.Second
)

// Handler answers POST requests with notifications.
type Handler struct {
	secret [sha256.Size]byte
	news   func(repo, tag string)
	now    func() time.Time
	bodies chan struct{}

	mu      sync.Mutex
	second  time.Time // the current one
	taken   int       // in it
	refused time.Time // when that was last logged
}

var _ http.Handler = (*Handler)(nil)

// New makes a handler that tells news of a tag of a repository, or of the whole
// repository when tag is "". Neither was looked at. Whoever sends them shows the
// secret as the bearer's token, the password of any user, or the bare header.
func New(secret string, news func(repo, tag string)) *Handler {
	return &Handler{
		secret: sha256.Sum256([]byte(secret)), news: news, now: time.Now,
		bodies: make(chan struct{}, bodiesAtOnce),
	}
}

// ServeHTTP takes one notification.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case !h.knows(r):
		h.logRefused(r)
		w.Header().Set("WWW-Authenticate", `Bearer realm="regfs"`)
		http.Error(w, "the Authorization header does not have the secret", http.StatusUnauthorized)
		return
	case !h.admit():
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many notifications at once", http.StatusTooManyRequests)
		return
	}
	h.bodies <- struct{}{}
	defer func() { <-h.bodies }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	changes, err := parse(r.Header.Get("Ce-Type"), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, c := range changes {
		slog.Debug("notified", "event", "notified", "repo", c.repo, "tag", c.tag)
		h.news(c.repo, c.tag)
	}
	w.WriteHeader(http.StatusNoContent)
}

// admit counts one request, unless there were enough in this second.
func (h *Handler) admit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); now.Sub(h.second) >= time.Second {
		h.second, h.taken = now, 0
	}
	h.taken++
	return h.taken <= perSecond
}

// knows tells whether a request has the secret. The time that takes says
// nothing about what is right in a wrong one.
func (h *Handler) knows(r *http.Request) bool {
	shown := r.Header.Get("Authorization")
	if _, password, ok := r.BasicAuth(); ok {
		shown = password
	} else if scheme, token, ok := strings.Cut(shown, " "); ok && strings.EqualFold(scheme, "Bearer") {
		shown = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(sum[:], h.secret[:]) == 1
}

func (h *Handler) logRefused(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); now.Sub(h.refused) >= refusedEvery {
		h.refused = now
		slog.Warn("a notification without the secret", "event", "notify_refused", "from", r.RemoteAddr)
	}
}
