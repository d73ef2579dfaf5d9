// Package web is the daemon's own HTTP address: whether it lives and is ready,
// and whatever else is hung into it. It is for operators, registries and the web
// server beside it, not for visitors.
//
// It knows HTTP, deadlines and limits. It knows neither sites nor registries nor
// the mount: what it answers it is given as handlers and functions.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of one request. Whoever asks here is near and asks for little.
const (
	headerTimeout = 5 * time.Second
	// bodyTimeout bounds reading a whole request; a notification of a registry
	// that is busy may be slow.
	bodyTimeout = 10 * time.Second
	// answerTimeout is more than the longest that a handler may wait for a
	// registry.
	answerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
	// closeWait is how long Close lets answers that are under way come to their
	// end.
	closeWait = 2 * time.Second
)

// Server answers at one address.
type Server struct {
	mux      *http.ServeMux
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// New makes a server that answers /healthz, always, and /readyz: 503 with the
// reason while ready gives one. Handle adds more before Start.
func New(ready func() error) *Server {
	s := &Server{mux: http.NewServeMux(), done: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout,
		WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		say(w, http.StatusOK, "ok")
	})
	return s
}

// say answers with one line that nobody keeps.
func say(w http.ResponseWriter, status int, line string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, line)
}

// Handle adds a handler; pattern is that of http.ServeMux.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// Start listens at address, host:port, and answers until Close.
func (s *Server) Start(ctx context.Context, address string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.listener = l
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("the daemon's own address is gone", "event", "listen_failed", "err", err)
		}
	}()
	return nil
}

// Address is where it listens, host:port, or "" before Start.
func (s *Server) Address() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close ends it; answers that are under way get a moment.
func (s *Server) Close() {
	if s.listener == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
}
