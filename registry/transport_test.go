package registry

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestForbiddenAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"169.254.169.254": "link-local", "169.254.170.2": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local",
		"::ffff:169.254.169.254": "link-local", "64:ff9b::a9fe:a9fe": "link-local", "::169.254.169.254": "link-local",
		"fd00:ec2::254": "metadata", "100.100.100.200": "metadata", "168.63.129.16": "metadata",
		"0.0.0.0": "unspecified", "::": "unspecified", "224.0.0.1": "link-local", "239.1.1.1": "multicast", "ff02::1": "link-local",
		"10.0.0.1": "", "192.168.1.1": "", "127.0.0.1": "", "::1": "", "203.0.113.1": "", "2001:db8::1": "", "fd00::1": "",
	} {
		if got := forbidden(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

// A name server under the control of whoever sends us on says what it likes.
func TestANameDoesNotHideAnAddress(t *testing.T) {
	d := newDialer(time.Second)
	var z zone
	z.set(netip.MustParseAddr("169.254.169.254"))
	d.checked.Resolver = z.resolver()
	_, err := d.dial(testContext(t), "tcp", "storage.example.org.:80")
	if err == nil || !strings.Contains(err.Error(), "link-local address 169.254.169.254") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// What listens on this machine is not for a registry elsewhere to ask.
func TestOnlyALocalRegistrySendsUsToThisMachine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := newDialer(time.Second)
	d.trust("registry.example.org", "https")
	if conn, err := d.dial(testContext(t), "tcp", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("from elsewhere: got %v, %v, want a refusal", conn, err)
	}
	d.trust("localhost:5000", "http")
	conn, err := d.dial(testContext(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("from this machine: %v", err)
	}
	conn.Close()
}

func TestProxiesAreTrustedAndNotQuoted(t *testing.T) {
	for proxy, want := range map[string]string{
		"": "", "http://me:S3CR3T@127.0.0.1:3128": "127.0.0.1:3128", "proxy:8080": "proxy:8080", "proxy": "proxy:80", "socks5://proxy": "proxy:1080",
	} {
		d := newDialer(time.Second)
		if err := d.trustProxy(proxy); err != nil || want != "" && !d.trusted[want] {
			t.Errorf("%s: got %v, %v, want %s", proxy, d.trusted, err, want)
		}
	}
	for _, proxy := range []string{"http://me:S3CR3T@host:x y", "http://me:S3CR3T@", "me:S3CR3T@host:%zz"} {
		if err := newDialer(time.Second).trustProxy(proxy); err == nil || strings.Contains(err.Error(), "S3CR3T") {
			t.Errorf("%s: got %v, want an error without the password", proxy, err)
		}
	}
}

// To net/http another port is the same host, and a name below its own too.
func TestOtherPortsOfAHostSeeNoCredentials(t *testing.T) {
	h := &host{scheme: "https", name: "example.org"}
	for address, want := range map[string]bool{
		"https://example.org/v2/": true, "https://example.org:443/v2/": true,
		"https://example.org:444/": false, "http://example.org/": false, "https://storage.example.org/": false, "https://example.org.evil/": false,
	} {
		var seen string
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		a := authorized{roundTrip(func(r *http.Request) { seen = r.Header.Get("Authorization") }), h, "Basic x"}
		a.RoundTrip(&http.Request{URL: u, Header: http.Header{}})
		if got := seen != ""; got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

type roundTrip func(*http.Request)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return nil, errors.New("nobody is there")
}

// A cache before the registry hands out a signed address that is too old.
func TestAnExpiredSignatureIsAskedForAgain(t *testing.T) {
	var redirects, refusals atomic.Int32
	expired := int32(1)
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sig") == "S3CR3T-1" {
			refusals.Add(1)
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>AccessDenied</Code><SignatureProvided>S3CR3T-1</SignatureProvided></Error>")
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(blobText))
	}))
	t.Cleanup(storage.Close)
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
		sig := "S3CR3T-2"
		if redirects.Add(1) <= atomic.LoadInt32(&expired) {
			sig = "S3CR3T-1"
		}
		w.Header().Set("Location", storage.URL+"/blob?sig="+sig)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	body, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readBody(t, body); err != nil || got != blobText[10:30] || refusals.Load() != 1 {
		t.Errorf("got %q, %v after %d refusals", got, err, refusals.Load())
	}
	atomic.StoreInt32(&expired, 1000)
	redirects.Store(0)
	_, err = c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
	if !errors.Is(err, ErrUnavailable) || redirects.Load() != 2 || strings.Contains(err.Error(), "S3CR3T") {
		t.Errorf("expired for ever: got %v after %d requests, want ErrUnavailable after 2 and no signature", err, redirects.Load())
	}
}

// TestWhatAStorageLacksIsNoSilence: it is no word of the registry on what there is
// either.
func TestWhatAStorageLacksIsNoSilence(t *testing.T) {
	for status, want := range map[int]bool{http.StatusNotFound: true, http.StatusGone: true, http.StatusForbidden: false, http.StatusBadGateway: false} {
		storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(storage.Close)
		c := lie(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", storage.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		_, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20)
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, fs.ErrNotExist) || Lacking(err) != want {
			t.Errorf("%d of a storage: got %v, lacking: %v, want %v", status, err, Lacking(err), want)
		}
	}
	c := lie(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if _, err := c.Range(testContext(t), "app", blobDigest, blobSize, 10, 20); Lacking(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("404 of the registry: got %v, want that it says so itself", err)
	}
}

func TestCertificatesAreVerifiedUnlessTheUserSaysOtherwise(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"tags": ["v1"]}`) }))
	s.Config.ErrorLog = log.New(&bytes.Buffer{}, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	_, err := newClient(t, s.URL).Tags(testContext(t), "app")
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "--ca-file") {
		t.Errorf("got %v, want ErrUnavailable with advice", err)
	}
	for name, opt := range map[string]Option{"the authority": WithRoots(pool), "no verification": WithoutVerification()} {
		if got, err := newClient(t, s.URL, opt).Tags(testContext(t), "app"); err != nil || len(got) != 1 {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
