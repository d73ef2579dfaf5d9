package registry

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// DefaultHost is the registry of a reference that names none.
const DefaultHost = "localhost:5000"

// Reference is a place in a registry as users write it:
//
//	[http://|https://][HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]
type Reference struct {
	Host       string        // for New: HOST[:PORT], with the scheme in front where one was written
	Repository string        // always valid
	Tag        string        // "" where none was written
	Digest     digest.Digest // "" where none was written
}

// ParseReference reads s. Its rule for hosts is that of docker: the first
// component is a host only if it has a '.' or a ':' or is "localhost", and
// something follows it; after a scheme it always is. Without a host the
// registry is DefaultHost. Errors say what is wrong with s.
func ParseReference(s string) (Reference, error) { return ParseReferenceAt(DefaultHost, s) }

// ParseReferenceAt is ParseReference with another registry for references
// without a host: [http://|https://]HOST[:PORT].
func ParseReferenceAt(defaultHost, s string) (Reference, error) {
	scheme, rest := cutScheme(s)
	host, path, found := strings.Cut(rest, "/")
	if scheme == "" && (!found || !looksLikeHost(host)) {
		scheme, host = cutScheme(defaultHost)
		path = rest
	}
	ref := Reference{Host: scheme + host, Repository: path}
	if _, _, err := parseHost(ref.Host); err != nil {
		return Reference{}, err
	}
	if err := ref.splitVersion(); err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w", cut(s), err)
	}
	ref.Repository = officialName(host, ref.Repository)
	if err := checkRepository(ref.Repository); err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w", cut(s), err)
	}
	return ref, nil
}

// splitVersion moves tag and digest from the end of r.Repository to their
// fields.
func (r *Reference) splitVersion() error {
	name, hex, found := strings.Cut(r.Repository, "@")
	if found {
		d, err := digest.Parse(hex)
		if err != nil {
			return fmt.Errorf("digest %q: %w", cut(hex), err)
		}
		r.Digest = d
	}
	name, tag, found := strings.Cut(name, ":")
	if found {
		if err := checkTag(tag); err != nil {
			return err
		}
		r.Tag = tag
	}
	r.Repository = name
	return nil
}

// String writes r without its scheme, as docker and crane take it.
func (r Reference) String() string {
	_, host := cutScheme(r.Host)
	s := host + "/" + r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// cutScheme splits "http://" or "https://" from the front of s.
func cutScheme(s string) (scheme, rest string) {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok {
			return scheme, rest
		}
	}
	return "", s
}

func looksLikeHost(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost"
}

// officialName is what docker makes of Docker Hub's names without a slash.
func officialName(host, repository string) string {
	if (host == "docker.io" || host == "index.docker.io") && !strings.Contains(repository, "/") {
		return "library/" + repository
	}
	return repository
}

// parseHost checks [scheme://]host[:port] and says which scheme to speak.
func parseHost(s string) (scheme, host string, err error) {
	scheme, host = cutScheme(s)
	if i := strings.LastIndexByte(host, '@'); i >= 0 { // and is not quoted
		return "", "", fmt.Errorf("registry %q is written with a user or password: leave them out, `docker login` keeps them", cut(host[i+1:]))
	}
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || !validHostname(u.Hostname()) || !validPort(u) {
		return "", "", fmt.Errorf("registry %q is not HOST or HOST:PORT, with http:// or https:// in front or nothing", cut(s))
	}
	switch {
	case scheme != "":
		return strings.TrimSuffix(scheme, "://"), host, nil
	case loopback(u.Hostname()):
		return "http", host, nil
	}
	return "https", host, nil
}

func validHostname(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	ok := func(r rune) bool {
		return r == '.' || r == '-' || r == '_' || r < 0x80 && lowerAlnum(byte(r)) || 'A' <= r && r <= 'Z'
	}
	return name != "" && len(name) <= 253 && strings.IndexFunc(name, func(r rune) bool { return !ok(r) }) < 0
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// loopback reports whether name is this machine: such registries speak plain
// HTTP unless told otherwise.
func loopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}
