package registry

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

const (
	// maxQuote bounds what is quoted of somebody else's text in an error, in
	// bytes.
	maxQuote = 500
	// maxSecrets bounds how many tokens are remembered to be concealed. They
	// make way all at once: they expire.
	maxSecrets = 4 * maxTokens
	// minSecret is the shortest text, in bytes, that is concealed wherever it
	// stands: a shorter one is part of ordinary words.
	minSecret = 5
	// hidden stands where a secret was.
	hidden = "(secret)"
)

// secrets are texts that a host may echo and that no error must quote.
type secrets struct {
	lasting, passing map[string]bool // credentials; tokens
}

// conceal remembers tokens.
func (a *access) conceal(tokens ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.secrets.passing == nil || len(a.secrets.passing) > maxSecrets {
		a.secrets.passing = map[string]bool{}
	}
	addSecrets(a.secrets.passing, tokens)
}

// concealWho remembers credentials.
func (a *access) concealWho(who credentials) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.secrets.lasting == nil {
		a.secrets.lasting = map[string]bool{}
	}
	addSecrets(a.secrets.lasting, []string{who.password, who.identityToken, who.registryToken, strings.TrimPrefix(who.basic(), "Basic ")})
}

func addSecrets(to map[string]bool, texts []string) {
	for _, s := range texts {
		if len(s) >= minSecret {
			to[s], to[url.QueryEscape(s)] = true, true
		}
	}
}

// without is text in which no secret of the host stands.
func (a *access) without(text string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, table := range []map[string]bool{a.secrets.lasting, a.secrets.passing} {
		for s := range table {
			text = strings.ReplaceAll(text, s, hidden)
		}
	}
	return text
}

// The places where secrets travel: the user before the host of an address, and
// a query with its signatures, also after a path alone.
var (
	addressUsers   = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#"]*@`)
	addressQueries = regexp.MustCompile(`\?[^\s"'<>]*=[^\s"'<>]*`)
)

// concealUser takes the user and password out of an address.
func concealUser(s string) string { return addressUsers.ReplaceAllString(s, "$1") }

// clean is the package's clean for a text in which the host's secrets may be.
func (h *host) clean(s string) string { return clean(h.access.without(s)) }

// clean makes somebody else's text fit for an error of one line: no control
// characters, nothing secret of an address, at most maxQuote bytes.
func clean(s string) string {
	// First of all of it: an address that is cut is not recognised any more.
	s = addressQueries.ReplaceAllString(concealUser(s), "")
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
