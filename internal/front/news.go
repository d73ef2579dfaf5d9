package front

import "time"

const (
	// newsFor is for how long what there is news of is asked for again and again:
	// docker-registry sends word of a push before it has written the tag.
	newsFor = 2 * time.Second
	// maxHeard bounds the repositories that somebody speaks of and nobody knows.
	maxHeard = 1000
)

// News says that a tag may name something else now, or if tag is "", that any
// of the repository may. It is looked at as soon as somebody looks. It does not
// wait.
func (f *Front) News(repo, tag string) {
	f.index.hear(repo, tag, f.now())
	select {
	case f.news <- struct{}{}:
	default: // it is to come by already
	}
}

// hear notes that somebody says that a tag, or with "" any of a repository's, may
// name something else now.
func (x *index) hear(repo, name string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.news = now.Add(newsFor)
	r := x.repos[repo]
	if r == nil {
		if len(x.heard) < maxHeard {
			x.heard[repo] = x.news
		}
		return
	}
	r.news = x.news
	for i := range r.Tags {
		if t := &r.Tags[i]; name == "" || t.Name == name {
			t.news = x.news
		}
	}
}

// unknown are the repositories of which there is news and nothing else.
func (x *index) unknown(now time.Time) (names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, until := range x.heard {
		if now.After(until) || x.repos[name] != nil {
			delete(x.heard, name)
			continue
		}
		names = append(names, name)
	}
	return names
}

// hasNews tells whether there is news of anything.
func (x *index) hasNews(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return now.Before(x.news)
}
