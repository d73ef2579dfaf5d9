package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/regfs/regfs/internal/web"
)

// defaultListen is the port that exporters of OpenTelemetry's kind use, on
// loopback: what is said there is for this machine.
const defaultListen = "127.0.0.1:9464"

// address makes the daemon's own address, and what answers at it.
func (d *daemon) address() *web.Server {
	s := web.New(func() error {
		if !d.mounted.Load() {
			return errors.New("not mounted")
		}
		return nil
	})
	s.Handle("GET /metrics", d.counts.Handler())
	s.Handle("GET /explain", explanations(d.live))
	s.Handle("GET /rules", web.Rules(decide(d.live)))
	return s
}

// listen starts s at address. Several mounts on one machine all want the default
// address: those that come late do without, and say so.
func listen(ctx context.Context, s *web.Server, address string) error {
	if address == "" {
		return nil
	}
	err := s.Start(ctx, address)
	switch {
	case err == nil:
		slog.Info("listening", "event", "listening", "address", s.Address())
		return nil
	case address == defaultListen && errors.Is(err, syscall.EADDRINUSE):
		slog.Warn("another program has the daemon's own address; name a free one with --listen",
			"event", "not_listening", "address", address)
		return nil
	}
	return fmt.Errorf("--listen %s: %w", address, err)
}
