package rules

import (
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// sent are the headers that nginx/rules.conf sends if a site says them: a web
// server without modules can send only names that its configuration names.
var sent = []string{
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Cache-Control", "Clear-Site-Data", "Content-Disposition", "Content-Language",
	"Content-Security-Policy", "Content-Security-Policy-Report-Only",
	"Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy",
	"Document-Policy", "Link", "Nel", "Origin-Agent-Cluster", "Permissions-Policy", "Referrer-Policy",
	"Report-To", "Reporting-Endpoints", "Service-Worker-Allowed", "Sourcemap", "Strict-Transport-Security",
	"Timing-Allow-Origin", "X-Content-Type-Options", "X-Dns-Prefetch-Control", "X-Frame-Options",
	"X-Permitted-Cross-Domain-Policies", "X-Robots-Tag", "X-Ua-Compatible", "X-Xss-Protection",
}

// IsSent tells whether nginx/rules.conf as it comes sends a header. Others are
// there for a configuration that names them.
func IsSent(name string) bool { return slices.Contains(sent, name) }

// refused are the headers that no site may set, with the reason. Names that
// begin with one of refusedPrefixes are among them.
var refused = map[string]string{
	"Connection": hopByHop, "Keep-Alive": hopByHop, "Proxy-Authenticate": hopByHop, "Proxy-Authorization": hopByHop,
	"Proxy-Connection": hopByHop, "Te": hopByHop, "Trailer": hopByHop, "Transfer-Encoding": hopByHop, "Upgrade": hopByHop,

	"Accept-Ranges": framing, "Content-Encoding": framing, "Content-Length": framing, "Content-Range": framing,
	"Date": framing, "Age": framing, "Etag": framing, "Last-Modified": framing, "Vary": framing,
	"Allow": framing, "Retry-After": framing, "Server": framing, "Status": framing, "Alt-Svc": framing,

	"Content-Type":     "the type of a file follows from its name",
	"Expires":          "say it in Cache-Control",
	"Location":         "say it in _redirects",
	"Refresh":          "say it in _redirects",
	"Set-Cookie":       "sites of one host share their cookies",
	"Set-Cookie2":      "sites of one host share their cookies",
	"Basic-Auth":       "regfs does not ask for passwords",
	"Www-Authenticate": "regfs does not ask for passwords",
}

const (
	hopByHop = "it is between two machines and not about the site"
	framing  = "the web server sends it itself"
)

var refusedPrefixes = []string{"X-Accel-", "X-Regfs-"}

// checkHeader tells why a header cannot be set, or nil. name is spelled as
// canonical has it.
func checkHeader(name, value string) error {
	if why, ok := refused[name]; ok {
		return fmt.Errorf("%s cannot be set: %s", shown(name), why)
	}
	for _, prefix := range refusedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("%s cannot be set: %s", shown(name), hopByHop)
		}
	}
	switch {
	case name == "" || strings.Trim(name, tokenBytes) != "":
		return fmt.Errorf("%s is no name of a header: it has letters, digits and dashes", shown(name))
	case value == "":
		return fmt.Errorf("%s has no value", name)
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return fmt.Errorf("%s: the value holds %q: a header has printable ASCII only", name, value[i])
		}
	}
	return nil
}

// tokenBytes are those of names. HTTP knows more; nobody uses them, and a web
// server may turn them into others.
const tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

// canonical spells a name as Cache-Control is spelled.
func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

// Check tells what is wrong with a rule, or nil.
func (h Headers) Check() error {
	if _, err := compile(h.For); err != nil {
		return fmt.Errorf("%s: %w", shown(h.For), err)
	}
	if len(h.Values) == 0 {
		return fmt.Errorf("%s has no headers", shown(h.For))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Values)) {
		if name != canonical(name) {
			return fmt.Errorf("%s is spelled %s", shown(name), shown(canonical(name)))
		}
		if err := checkHeader(name, h.Values[name]); err != nil {
			return err
		}
	}
	if n := h.size(); len(h.For) > MaxLine || n > MaxHeaderBytes {
		return fmt.Errorf("%s: %d bytes of headers, more than %d", shown(h.For), n, MaxHeaderBytes)
	}
	return nil
}

// size is how many bytes its headers may take in an answer.
func (h Headers) size() (n int) {
	for name, value := range h.Values {
		n += len(name) + len(value) + len(": \r\n")
	}
	return n
}

// ParseHeaders reads a file _headers: blocks of a path and, below it, headers.
func ParseHeaders(text string) ([]Headers, []Problem) {
	var f headersFile
	for i, line := range lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if err := f.add(i, trimmed); err != nil {
			f.wrong.add(i, "%s", err)
		}
		if len(f.rules) > MaxHeaders {
			f.wrong.add(i, "more than %d blocks of headers", MaxHeaders)
			break
		}
	}
	f.end()
	if err := CheckHeaders(f.rules); err != nil && len(f.wrong) == 0 {
		f.wrong.add(f.rules[0].Line, "%s", err)
	}
	return f.rules, f.wrong
}

// CheckHeaders tells whether rules that are right by themselves are too much
// together.
func CheckHeaders(all []Headers) error {
	if n := mostBytes(all); n > MaxHeaderBytes {
		return fmt.Errorf("a page could get %d bytes of headers, more than %d", n, MaxHeaderBytes)
	}
	return nil
}

// headersFile is what was read of a file _headers.
type headersFile struct {
	rules []Headers
	wrong problems
	skip  bool // the block's path made no sense
}

func (f *headersFile) add(number int, line string) error {
	if err := checkLine(line); err != nil {
		f.skip = f.skip || line[0] == '/'
		return err
	}
	switch {
	case line[0] == '/':
		f.end()
		f.rules = append(f.rules, Headers{For: line, Values: map[string]string{}, Line: number})
		_, err := compile(line)
		if f.skip = err != nil; f.skip {
			return fmt.Errorf("%s: %w", shown(line), err)
		}
		return nil
	case strings.HasPrefix(line, "http://"), strings.HasPrefix(line, "https://"):
		f.end()
		f.skip = true
		return fmt.Errorf("%s: rules for a host are not supported: begin with the path", shown(line))
	case line[0] == '!':
		return errors.New("taking a header away is not supported")
	case f.skip:
		return nil
	case len(f.rules) == 0:
		return fmt.Errorf("%s: a header comes below the path that it is for", shown(line))
	}
	return f.rules[len(f.rules)-1].set(line)
}

// end ends a block.
func (f *headersFile) end() {
	if n := len(f.rules); n > 0 && !f.skip && len(f.wrong) == 0 && len(f.rules[n-1].Values) == 0 {
		f.wrong.add(f.rules[n-1].Line, "%s has no headers: they come below it", shown(f.rules[n-1].For))
	}
	f.skip = false
}

// set adds a line "Name: value". A name that is there already gets a list of
// values.
func (h *Headers) set(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%s: a header is \"Name: value\"", shown(line))
	}
	name, value = canonical(strings.TrimSpace(name)), strings.TrimSpace(value)
	if err := checkHeader(name, value); err != nil {
		return err
	}
	join(h.Values, name, value)
	return nil
}

// join sets a header that may be set already.
func join(values map[string]string, name, value string) {
	if before, ok := values[name]; ok {
		value = before + ", " + value
	}
	values[name] = value
}

// mostBytes is no less than the bytes of headers that one path gets: of all
// rules that are open, and of the longest exact one.
func mostBytes(rules []Headers) int {
	open, longest := 0, map[string]int{}
	for _, h := range rules {
		p, err := compile(h.For)
		switch {
		case err != nil:
		case p.exact():
			longest[p.key()] += h.size()
		default:
			open += h.size()
		}
	}
	most := 0
	for _, n := range longest {
		most = max(most, n)
	}
	return open + most
}
