package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates for a loopback registry.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // with its certificate, in PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	must(t, err)
	a := &authority{key: key, file: filepath.Join(newDir(t), "ca.pem")}
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	must(t, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return a
}

// sign makes a certificate for 127.0.0.1, good between the two times.
func (a *authority) sign(t *testing.T, from, to time.Time, addresses ...net.IP) *tls.Certificate {
	t.Helper()
	template := x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a registry"}, NotBefore: from, NotAfter: to, IPAddresses: addresses}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, a.key.Public(), a.key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// tlsProxy is a fault proxy whose certificate can be exchanged.
type tlsProxy struct {
	*faultProxy
	shown atomic.Pointer[tls.Certificate]
}

func startTLSProxy(t *testing.T, host string, shown *tls.Certificate) *tlsProxy {
	t.Helper()
	p := &tlsProxy{faultProxy: &faultProxy{upstream: host}}
	p.shown.Store(shown)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.Config.ErrorLog = discard
	p.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*p.shown.Load()}}, nil
	}}
	p.StartTLS()
	t.Cleanup(p.close)
	return p
}

// show has connections from now on see another certificate.
func (p *tlsProxy) show(c *tls.Certificate) {
	p.shown.Store(c)
	p.CloseClientConnections()
}

// TestACertificateThatIsNotGoodNow: it has expired, is not good yet, or is another
// host's, at each moment. No byte is asked for, and the log, the status and upload
// say why.
func TestACertificateThatIsNotGoodNow(t *testing.T) {
	w := newFaultWorld(t)
	ca := newAuthority(t)
	now, loopback := time.Now(), net.IPv4(127, 0, 0, 1)
	year := 365 * 24 * time.Hour
	good := ca.sign(t, now.Add(-year), now.Add(year), loopback)
	images := bundle(t, w.small.write(t), "v1")
	var rows sync.WaitGroup
	defer rows.Wait()
	for name, row := range map[string]struct {
		shown  *tls.Certificate
		reason string
	}{
		"expired":        {ca.sign(t, now.Add(-year), now.Add(-time.Hour), loopback), "certificate has expired or is not yet valid"},
		"not yet valid":  {ca.sign(t, now.Add(24*time.Hour), now.Add(year), loopback), "certificate has expired or is not yet valid"},
		"another host's": {ca.sign(t, now.Add(-year), now.Add(year), net.IPv4(192, 0, 2, 1)), "certificate is valid for 192.0.2.1"},
	} {
		rows.Go(func() {
			t.Run(name, func(t *testing.T) {
				p := startTLSProxy(t, w.reg.host, good)
				d := mount(t, "https://"+p.host(), never, "--ca-file="+ca.file)
				w.tryCertificate(t, p, d, good, row.shown)
				wantReason(t, d, p, good, row.shown, row.reason)
				p.show(row.shown)
				args := []string{"v1", "https://" + p.host() + "/new", "--images", images, "--ca-file", ca.file}
				refusal{exitUnavailable, []string{row.reason}}.want(t, run(t, "", command(t, "upload"), args...))
			})
		})
	}
}

// tryCertificate goes through the moments.
func (w *faultWorld) tryCertificate(t *testing.T, p *tlsProxy, d *daemon, good, bad *tls.Certificate) {
	file := w.largeFile()
	moment := func(name string, do func() ([]byte, error), want []byte) {
		t.Helper()
		r := p.spoil(func(*http.Request) bool { return true }, 0, honest)
		p.show(bad)
		if got, err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got %d bytes, %v, want %v", name, len(got), err, syscall.EIO)
		}
		if got := p.seen(r); len(got) != 0 {
			t.Errorf("%s: got requests %v, want none", name, got)
		}
		p.show(good)
		var got []byte
		var err error
		if !eventually(startLimit, func() bool { got, err = do(); return err == nil && bytes.Equal(got, want) }) {
			t.Errorf("%s, with a good one: got %d bytes, %v, want the right %d", name, len(got), err, len(want))
		}
	}
	moment("resolving", stating(d.path("first/v1")), nil)
	waitForStat(t, d.path("first/v1"))
	moment("first bytes", reading(d.path("first/v1", file), 0, 64), w.early[file][:64])
	w.readBeginning(t, d)
	moment("in the middle", w.readingEnd(d), w.large[file][4<<20:])
}

// wantReason looks for the reason in what the daemon says of itself.
func wantReason(t *testing.T, d *daemon, p *tlsProxy, good, bad *tls.Certificate, reason string) {
	t.Helper()
	p.show(bad)
	defer p.show(good)
	web := startNginx(t, d.dir)
	if got := fetch(t, web.url+"/whole/v1/").status; got != http.StatusServiceUnavailable {
		t.Errorf("through nginx: got %d, want 503", got)
	}
	status := run(t, "", command(t, "regfs"), "status", d.dir)
	if status.code != exitPartial || !contains(status, reason) {
		t.Errorf("status: got %+v, want %q in it", status, reason)
	}
	log, err := os.ReadFile(d.log)
	must(t, err)
	if !bytes.Contains(log, []byte(reason)) || !bytes.Contains(log, []byte("event=failed")) {
		t.Errorf("the log does not say %q:\n%s", reason, log)
	}
}
