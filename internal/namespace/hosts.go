package namespace

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/regfs/regfs/internal/hostname"
)

// HostsFolder is the folder of the mount in which every tag is found under its
// DNS label, for web servers that know of a site only the name of a host.
const HostsFolder = ".regfs/hosts"

// lookupHost finds the site that a DNS label names.
func (l *Live) lookupHost(ctx context.Context, label string) (Entry, error) {
	if repo, tag, ok := hostname.Parse(label); ok {
		return l.lookupReference(ctx, repo, '@', tag)
	}
	r, err := l.lookupShortHost(ctx, label)
	if err != nil {
		return Entry{}, err
	}
	return l.lookupReference(ctx, r.repo, '@', r.tag)
}

// lookupShortHost finds the tag of a label that does not say it: one that is
// known, else one that the registry lists.
func (l *Live) lookupShortHost(ctx context.Context, label string) (ref, error) {
	absent := fmt.Errorf("%.100q is the label of no site: %w", label, fs.ErrNotExist)
	key := "host " + label
	if len(label) > hostname.MaxLabel || strings.Contains(label, "--") || l.absent.holds(key) {
		return ref{}, absent
	}
	if r, ok := l.knownHost(label); ok {
		return r, nil
	}
	if err := l.awaitList(ctx, time.Now().Add(answerBudget)); err != nil {
		return ref{}, err
	}
	r, err := l.listedHost(ctx, label)
	if err == nil && r == (ref{}) {
		err = l.health.Problem() // there may be repositories and tags that we do not know
	}
	if err != nil || r != (ref{}) {
		return r, err
	}
	l.absent.add(key)
	l.names.miss()
	return ref{}, absent
}

// listedHost is the tag of a label among those of known repositories, if any.
func (l *Live) listedHost(ctx context.Context, label string) (ref, error) {
	for _, repo := range l.names.all() {
		if !hostname.MayBeOf(repo, label) {
			continue
		}
		if err := l.questions.admit(true); err != nil {
			return ref{}, err
		}
		tags, err := l.readTags(ctx, repo)
		if err != nil {
			return ref{}, err
		}
		for _, tag := range tags {
			if hostname.Label(repo, tag) == label {
				return ref{repo, tag}, nil
			}
		}
	}
	return ref{}, nil
}

// knownHost is the tag of a label among those that were looked up, also before
// a restart.
func (l *Live) knownHost(label string) (ref, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.tags {
		if hostname.MayBeOf(r.repo, label) && hostname.Label(r.repo, r.tag) == label {
			return r, true
		}
	}
	return ref{}, false
}
