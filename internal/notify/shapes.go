package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// change says that a tag may have changed, or any of a repository when tag is "".
type change struct{ repo, tag string }

// maxChanges bounds how many changes are taken out of one notification; one of a
// docker-registry has one, or as many as it could not get rid of before.
const maxChanges = 1000

// message is a notification, in whichever of the shapes it came:
//
//   - distribution (docker-registry, GitLab, Azure): events with action and target.
//     Source: distribution's "Work with notifications".
//   - Harbor: type and event_data. Source: Harbor's "Configure Webhook
//     Notifications", format Default.
//   - CloudEvents 1.0, structured: type and data. Harbor's format CloudEvents, and
//     zot's events extension. zot also sends the data alone, with the type in a
//     header; that is the binary mode of the CloudEvents HTTP binding.
type message struct {
	Events []struct {
		Action string
		Target struct{ Repository, Tag string }
	}
	Type      string
	EventData *subject `json:"event_data"`
	Data      *subject
}

// subject is what an event of Harbor or zot is about.
type subject struct {
	Repository struct {
		FullName string `json:"repo_full_name"`
	}
	Resources []struct{ Tag string }

	Name, Reference string // zot
}

// The kinds of events in which something changed. zot's types begin as its
// configuration says.
var (
	pushes    = []string{"PUSH_ARTIFACT", "harbor.artifact.pushed", ".image.updated", ".repository.created"}
	deletions = []string{"DELETE_ARTIFACT", "harbor.artifact.deleted", ".image.deleted"}
)

var errShape = errors.New("no notification of docker-registry, Harbor or zot")

// parse reads a notification. kind is the type of the event if a header has it.
func parse(kind string, body []byte) ([]change, error) {
	if kind != "" {
		var s subject
		if err := json.Unmarshal(body, &s); err != nil {
			return nil, fmt.Errorf("%w: %w", errShape, err)
		}
		return s.changes(kind), nil
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errShape, err)
	}
	switch {
	case m.Events != nil:
		return m.changes(), nil
	case m.EventData != nil:
		return m.EventData.changes(m.Type), nil
	case m.Data != nil:
		return m.Data.changes(m.Type), nil
	}
	return nil, errShape
}

// changes are those of distribution's events. What is pushed without a tag is a
// part of something that gets one; what is deleted without one may be what any
// tag names.
func (m *message) changes() []change {
	var all changes
	for _, e := range m.Events {
		switch {
		case e.Action == "push" && e.Target.Tag != "", e.Action == "delete":
			all.add(e.Target.Repository, e.Target.Tag)
		}
	}
	return all
}

func (s *subject) changes(kind string) []change {
	pushed, deleted := isOne(kind, pushes), isOne(kind, deletions)
	if !pushed && !deleted {
		return nil
	}
	var all changes
	if s.Name != "" {
		tag := s.Reference
		switch {
		case !strings.Contains(tag, ":"): // a digest
		case pushed:
			return nil
		default:
			tag = ""
		}
		all.add(s.Name, tag)
	}
	for _, r := range s.Resources {
		if r.Tag != "" || deleted {
			all.add(s.Repository.FullName, r.Tag)
		}
	}
	return all
}

func isOne(kind string, kinds []string) bool {
	for _, k := range kinds {
		if kind == k || k[0] == '.' && strings.HasSuffix(kind, k) {
			return true
		}
	}
	return false
}

// changes are each once, in their order.
type changes []change

func (c *changes) add(repo, tag string) {
	next := change{repo, tag}
	if repo == "" || len(*c) >= maxChanges {
		return
	}
	for _, old := range *c {
		if old == next {
			return
		}
	}
	*c = append(*c, next)
}
