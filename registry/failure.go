package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// failure is every error of a request. Its cause is kept as text only: a
// cause's own kind (a refused connection's errno, the deadline error that
// timeouts of net/http claim to be) must not be taken for ours.
type failure struct {
	what   string // "localhost:5000: GET manifest my-app:v1"
	detail string // the registry's answer, or why there is none
	advice string // what to do about it, or ""
	kind   error

	status     int           // of the answer, 0 without one
	temporary  bool          // the same request may succeed soon
	once       bool          // or at least the next one, if it comes at once
	misread    bool          // another range came than was asked for
	resting    bool          // nothing was sent: the host asked to be left alone
	retryAfter time.Duration // what the registry asked for, 0 if nothing
}

func (f *failure) Error() string {
	s := f.what + ": " + f.detail
	if f.advice != "" {
		s += ": " + f.advice
	}
	return s
}

func (f *failure) Unwrap() error { return f.kind }

// nonsense is an answer that cannot be meant, of the host.
func (h *host) nonsense(what, format string, args ...any) error {
	return nonsense(what, "%s", h.clean(fmt.Sprintf(format, args...)))
}

// nonsense is an answer that cannot be meant.
func nonsense(what, format string, args ...any) error {
	return &failure{what: what, detail: clean(fmt.Sprintf(format, args...)), kind: ErrUnavailable}
}

// mismatch is content that is not what its digest or size says.
func mismatch(what, format string, args ...any) error {
	return &failure{what: what, detail: clean(fmt.Sprintf(format, args...)), kind: ErrMismatch}
}

// refused makes an error of an answer whose status is not one that was hoped
// for. It reads the body and leaves closing it to the caller.
func (h *host) refused(what string, res *http.Response) *failure {
	f := h.said(what, res)
	message, codes := h.readMessage(res.Body)
	f.temporary = f.temporary || slices.Contains(codes, blobUnknown)
	if h.speaks(res.Request.URL) {
		f.kind = statusKind(f.status)
		f.advice = h.adviceForAnswer(f.status, message)
		f.quote(message)
		return f
	}
	// A redirect's target does not speak for the registry: what it lacks or
	// forbids says nothing about names. Its words are not quoted: storage
	// services explain a refusal by what was signed and how. But the registry
	// may send us to it with a newer signature.
	f.detail += " (from " + h.clean(res.Request.URL.Host) + ", to which the registry redirected)"
	f.once = f.status == http.StatusForbidden || f.status == http.StatusUnauthorized || f.status == http.StatusBadRequest
	return f
}

// said is what an answer's status line and header say.
func (h *host) said(what string, res *http.Response) *failure {
	return &failure{
		what:       what,
		status:     res.StatusCode,
		kind:       ErrUnavailable,
		detail:     strings.TrimSpace(fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))),
		temporary:  temporaryStatus(res.StatusCode),
		retryAfter: parseRetryAfter(res.Header.Get("Retry-After"), h.now()),
	}
}

// quote adds the words of who answered, if there were any.
func (f *failure) quote(message string) {
	if message != "" {
		f.detail += ": " + message
	}
}

// broken makes an error of a request that got no answer. ctx is the caller's,
// reqCtx the request's, whose cause is set when we gave up ourselves.
func (h *host) broken(ctx, reqCtx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	f := &failure{what: what, kind: ErrUnavailable}
	var ours *failure
	switch {
	case errors.As(err, &ours): // of the token service, or of the ping
		return ours
	case reqCtx.Err() != nil:
		err = context.Cause(reqCtx)
	default:
		f.temporary = connectionLost(err)
		f.advice = h.adviceForCause(err)
	}
	f.detail = h.clean(rootCause(err).Error())
	return f
}

// rootCause takes off the layers of err that name URLs.
func rootCause(err error) error {
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			return err
		}
		err = u.Err
	}
}

func connectionLost(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func statusKind(status int) error {
	switch status {
	case http.StatusNotFound:
		return fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return fs.ErrPermission
	}
	return ErrUnavailable
}

func temporaryStatus(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
}

// parseRetryAfter reads both forms of the header: seconds, and a date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// adviceForAnswer is what the user can do about an answer.
func (h *host) adviceForAnswer(status int, message string) string {
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Sprintf("run `docker login %s`", h.name)
	case status == http.StatusForbidden:
		return fmt.Sprintf("the account in use may not do this; `docker login %s` uses another", h.name)
	case status == http.StatusBadRequest && h.scheme == "http" && strings.Contains(message, "HTTPS"):
		// The text of Go's server and of nginx when a plain request comes to
		// a TLS port.
		return fmt.Sprintf("the registry speaks TLS: say https://%s", h.name)
	case status == http.StatusBadRequest && h.scheme == "http" && message == "": // the same to a HEAD
		return fmt.Sprintf("if the registry speaks TLS, say https://%s", h.name)
	}
	return ""
}

// adviceForCause is what the user can do about a request that failed. The
// texts are those of net/http and crypto/tls, which have no values for them;
// only the advice depends on them.
func (h *host) adviceForCause(err error) string {
	text := err.Error()
	var untrusted *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired: // or not good yet
		return "its certificate has to be renewed, or the clock of this machine to be set"
	case errors.As(err, new(x509.HostnameError)):
		return "the certificate is another host's: is this the registry's name?"
	case errors.As(err, &untrusted):
		return "--ca-file names a file with the authority that signed its certificate"
	case h.scheme == "https" && (strings.Contains(text, "HTTP response to HTTPS client") || strings.Contains(text, "does not look like a TLS handshake")):
		return fmt.Sprintf("the registry speaks plain HTTP: say http://%s", h.name)
	case h.scheme == "http" && strings.Contains(text, `malformed HTTP response "\x15\x03`): // a TLS alert
		return fmt.Sprintf("the registry speaks TLS: say https://%s", h.name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("is a registry running at %s?", h.name)
	}
	return ""
}

// maxErrorBody is how much of an error's body is read, in bytes: enough to
// reach its end, so that the connection is used again.
const maxErrorBody = 64 << 10

// blobUnknown is how a registry refuses a manifest that names a blob which it has
// not. We only send manifests whose blobs are there, but docker-registry writes
// down anew that it has a blob whenever somebody sends it, and misses it meanwhile:
// who pushes beside others has to try again.
const blobUnknown = "MANIFEST_BLOB_UNKNOWN"

// readMessage finds the host's own words in the body of an error: the errors
// of the distribution spec, and their codes, or else the text.
func (h *host) readMessage(body io.Reader) (message string, codes []string) {
	data, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // whatever came is better than nothing
	var answer struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(data, &answer) != nil {
		return h.clean(string(data)), nil
	}
	var texts []string
	for _, e := range answer.Errors {
		if e.Message == "" {
			e.Message = e.Code
		}
		texts, codes = append(texts, e.Message), append(codes, e.Code)
	}
	return h.clean(strings.Join(texts, "; ")), codes
}
