package manifest

import (
	"encoding/json"
	"fmt"
	"net/textproto"
	"strconv"

	"github.com/regfs/regfs/internal/rules"
)

// name is how problems call a key: "redirects[3].to".
func (r *settingsReader) name(m member) string {
	if r.within == "" {
		return shownKey(m.key)
	}
	return r.within + "." + shownKey(m.key)
}

// each has read called for each object in a list, until there are more than
// most. What read finds wrong is about that object, which then is left out.
func (r *settingsReader) each(list member, most int, read func(at int, keys []member)) {
	items, ok := list.in('[')
	if !ok {
		r.problem(list.at, list.key, "%s is not a list", shownValue(list.value))
		return
	}
	for i, item := range items {
		r.within = fmt.Sprintf("%s[%d]", list.key, i)
		keys, ok := item.in('{')
		switch {
		case i == most:
			r.problem(item.at, list.key, "more than %d", most)
			r.within = ""
			return
		case !ok:
			r.problem(item.at, r.within, "%s is not an object", shownValue(item.value))
		default:
			read(item.at, keys)
		}
	}
	r.within = ""
}

// redirects reads rules. A rule with a key that is not known is left out: it may
// be a condition.
func (r *settingsReader) redirects(list member) (all []rules.Redirect) {
	open := 0
	r.each(list, rules.MaxRedirects, func(at int, keys []member) {
		before := len(r.problems)
		rule := rules.Redirect{Status: rules.DefaultStatus, Line: r.lines.at(at)}
		for _, m := range keys {
			r.redirect(&rule, m)
		}
		if len(r.problems) == before {
			if err := rule.Check(); err != nil {
				r.problem(at, r.within, "%s", err)
			}
		}
		if !rule.IsExact() {
			open++
		}
		if open == rules.MaxPatterns+1 {
			r.problem(at, r.within, "more than %d with * or :placeholders", rules.MaxPatterns)
		}
		if len(r.problems) == before && open <= rules.MaxPatterns {
			all = append(all, rule)
		}
	})
	return all
}

func (r *settingsReader) redirect(rule *rules.Redirect, m member) {
	switch m.key {
	case "from":
		rule.From = r.text(m)
	case "to":
		rule.To = r.text(m)
	case "status":
		rule.Status = r.number(m)
	case "force":
		rule.Force = r.boolean(m)
	default:
		r.problem(m.at, r.name(m), "is not supported: a redirect has from, to, status and force")
	}
}

func (r *settingsReader) headers(list member) (all []rules.Headers) {
	r.each(list, rules.MaxHeaders, func(at int, keys []member) {
		before := len(r.problems)
		rule := rules.Headers{Values: map[string]string{}, Line: r.lines.at(at)}
		for _, m := range keys {
			r.header(&rule, m)
		}
		if len(r.problems) == before {
			if err := rule.Check(); err != nil {
				r.problem(at, r.within, "%s", err)
			}
		}
		if len(r.problems) == before {
			all = append(all, rule)
		}
	})
	if err := rules.CheckHeaders(all); err != nil {
		r.problem(list.at, list.key, "%s", err)
		all = nil
	}
	return all
}

func (r *settingsReader) header(rule *rules.Headers, m member) {
	switch m.key {
	case "for":
		rule.For = r.text(m)
	case "values":
		values, ok := m.in('{')
		if !ok {
			r.problem(m.at, r.name(m), "%s is not an object", shownValue(m.value))
		}
		for _, v := range values {
			rule.Values[textproto.CanonicalMIMEHeaderKey(v.key)] = r.text(v)
		}
	default:
		r.problem(m.at, r.name(m), "is not supported: a rule has for and values")
	}
}

func (r *settingsReader) text(m member) (s string) {
	if json.Unmarshal(m.value, &s) != nil || m.value[0] != '"' {
		r.problem(m.at, r.name(m), "%s is not a string", shownValue(m.value))
	}
	return s
}

func (r *settingsReader) number(m member) int {
	n, err := strconv.Atoi(string(m.value))
	if err != nil {
		r.problem(m.at, r.name(m), "%s is not a whole number", shownValue(m.value))
	}
	return n
}
