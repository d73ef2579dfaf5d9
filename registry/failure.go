package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxQuote bounds what is quoted of somebody else's text in an error, in bytes.
const maxQuote = 500

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
func (c *Client) refused(what string, res *http.Response) *failure {
	f := &failure{
		what:       what,
		status:     res.StatusCode,
		kind:       statusKind(res.StatusCode),
		detail:     strings.TrimSpace(fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))),
		temporary:  temporaryStatus(res.StatusCode),
		retryAfter: parseRetryAfter(res.Header.Get("Retry-After"), c.now()),
	}
	message := readMessage(res.Body)
	if message != "" {
		f.detail += ": " + message
	}
	if host := res.Request.URL.Host; host != c.host {
		// A redirect's target does not speak for the registry: what it lacks
		// or forbids says nothing about names.
		f.kind = ErrUnavailable
		f.detail += " (from " + host + ", to which the registry redirected)"
		return f
	}
	f.advice = c.adviceForAnswer(f.status, message)
	return f
}

// broken makes an error of a request that got no answer. ctx is the caller's,
// reqCtx the request's, whose cause is set when we gave up ourselves.
func (c *Client) broken(ctx, reqCtx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	f := &failure{what: what, kind: ErrUnavailable}
	var answer *transport.Error
	var ours *failure
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &answer): // of the token service, or of the ping
		if k := statusKind(answer.StatusCode); !errors.Is(k, fs.ErrNotExist) {
			f.kind = k
		}
		f.status, f.temporary = answer.StatusCode, temporaryStatus(answer.StatusCode)
		f.advice = c.adviceForAnswer(answer.StatusCode, "")
	case reqCtx.Err() != nil:
		err = context.Cause(reqCtx)
	default:
		f.temporary = connectionLost(err)
		f.advice = c.adviceForCause(err)
	}
	f.detail = clean(rootCause(err).Error())
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
func (c *Client) adviceForAnswer(status int, message string) string {
	switch {
	case status == http.StatusUnauthorized:
		return fmt.Sprintf("run `docker login %s`", c.host)
	case status == http.StatusForbidden:
		return fmt.Sprintf("the account in use may not do this; `docker login %s` uses another", c.host)
	case status == http.StatusBadRequest && c.scheme == "http" && strings.Contains(message, "HTTPS"):
		// The text of Go's server and of nginx when a plain request comes to
		// a TLS port.
		return fmt.Sprintf("the registry speaks TLS: say https://%s", c.host)
	case status == http.StatusBadRequest && c.scheme == "http" && message == "": // the same to a HEAD
		return fmt.Sprintf("if the registry speaks TLS, say https://%s", c.host)
	}
	return ""
}

// adviceForCause is what the user can do about a request that failed. The
// texts are those of net/http and crypto/tls, which have no values for them;
// only the advice depends on them.
func (c *Client) adviceForCause(err error) string {
	text := err.Error()
	switch {
	case c.scheme == "https" && (strings.Contains(text, "HTTP response to HTTPS client") || strings.Contains(text, "does not look like a TLS handshake")):
		return fmt.Sprintf("the registry speaks plain HTTP: say http://%s", c.host)
	case c.scheme == "http" && strings.Contains(text, `malformed HTTP response "\x15\x03`): // a TLS alert
		return fmt.Sprintf("the registry speaks TLS: say https://%s", c.host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("is a registry running at %s?", c.host)
	}
	return ""
}

// maxErrorBody is how much of an error's body is read, in bytes: enough to
// reach its end, so that the connection is used again.
const maxErrorBody = 64 << 10

// readMessage finds the registry's own words in the body of an error: the
// errors of the distribution spec, or else the text.
func readMessage(body io.Reader) string {
	data, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // whatever came is better than nothing
	var answer struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(data, &answer) != nil {
		return clean(string(data))
	}
	var texts []string
	for _, e := range answer.Errors {
		if e.Message == "" {
			e.Message = e.Code
		}
		texts = append(texts, e.Message)
	}
	return clean(strings.Join(texts, "; "))
}

// urlSecrets are the parts of a URL where secrets travel: the user before the
// host, and the query with its signatures.
var urlSecrets = regexp.MustCompile(`(https?://)(?:[^\s/?#"@]*@)?([^\s?"]*)(?:\?[^\s"]*)?`)

// clean makes somebody else's text fit for an error of one line: no control
// characters, nothing secret of a URL, at most maxQuote bytes.
func clean(s string) string {
	if len(s) > 4*maxQuote {
		s = s[:4*maxQuote]
	}
	s = urlSecrets.ReplaceAllString(s, "$1$2")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return cut(strings.TrimSpace(s))
}

// cut shortens s to maxQuote bytes of whole characters.
func cut(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote], "") + "…"
}
