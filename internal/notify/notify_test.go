package notify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

const secret = "a secret of the test's own"

// post sends a body to a handler, with pairs of header names and values.
func post(h http.Handler, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// told makes a handler and the list of what it tells.
func told() (*Handler, *[]string) {
	var list []string
	return New(secret, func(repo, tag string) { list = append(list, repo+"|"+tag) }), &list
}

// TestNotificationsOfRegistriesAreUnderstood: in the shapes that the registries'
// documentation shows.
func TestNotificationsOfRegistriesAreUnderstood(t *testing.T) {
	const digest = "sha256:fea8895f450959fa676bcc1df0611ea93823a735a01205fd8622846041d0c7cf"
	for name, test := range map[string]struct {
		body, ceType string
		want         []string
	}{
		"distribution, push": {body: `{"events": [
			{"id": "1", "timestamp": "2026-01-02T03:04:05Z", "action": "push", "target": {"mediaType": "application/octet-stream", "size": 1, "digest": "` + digest + `", "repository": "team/app"}},
			{"id": "2", "action": "push", "target": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "` + digest + `", "repository": "team/app", "url": "http://example.com/v2/team/app/manifests/x", "tag": "v1"}, "request": {"id": "3", "addr": "192.0.2.1"}, "actor": {}, "source": {"addr": "x"}},
			{"id": "2", "action": "push", "target": {"repository": "team/app", "tag": "v1"}},
			{"id": "4", "action": "pull", "target": {"repository": "team/app", "tag": "v2"}}]}`, want: []string{"team/app|v1"}},
		"distribution, delete":        {body: `{"events": [{"action": "delete", "target": {"digest": "` + digest + `", "repository": "app"}}, {"action": "delete", "target": {"repository": "app", "tag": "old"}}]}`, want: []string{"app|", "app|old"}},
		"distribution, nothing of it": {body: `{"events": []}`},
		"harbor, push": {body: `{"type": "PUSH_ARTIFACT", "occur_at": 1582640688, "operator": "admin", "event_data": {
			"resources": [{"digest": "` + digest + `", "tag": "latest", "resource_url": "harbor.example/team/app:latest"}],
			"repository": {"date_created": 1582634337, "name": "app", "namespace": "team", "repo_full_name": "team/app", "repo_type": "private"}}}`, want: []string{"team/app|latest"}},
		"harbor, delete":       {body: `{"type": "DELETE_ARTIFACT", "event_data": {"resources": [{"digest": "` + digest + `", "tag": ""}], "repository": {"repo_full_name": "team/app"}}}`, want: []string{"team/app|"}},
		"harbor, scan":         {body: `{"type": "SCANNING_COMPLETED", "event_data": {"resources": [{"tag": "v1"}], "repository": {"repo_full_name": "team/app"}}}`},
		"harbor, cloud events": {body: `{"specversion": "1.0", "id": "x", "source": "/projects/2/webhook/policies/15", "type": "harbor.artifact.pushed", "datacontenttype": "application/json", "time": "2026-01-02T03:04:05Z", "data": {"resources": [{"digest": "` + digest + `", "tag": "v1.9.0"}], "repository": {"name": "app", "namespace": "team", "repo_full_name": "team/app"}}, "operator": "admin"}`, want: []string{"team/app|v1.9.0"}},
		"zot, structured":      {body: `{"specversion": "1.0", "id": "x", "source": "zotregistry.dev", "type": "zotregistry.image.updated", "data": {"name": "team/app", "reference": "v1", "digest": "` + digest + `", "mediaType": "m", "manifest": "{}"}}`, want: []string{"team/app|v1"}},
		"zot, binary":          {body: `{"name": "team/app", "reference": "v1", "digest": "` + digest + `"}`, ceType: "zotregistry.image.updated", want: []string{"team/app|v1"}},
		"zot, by digest":       {body: `{"name": "team/app", "reference": "` + digest + `"}`, ceType: "zotregistry.image.updated"},
		"zot, delete":          {body: `{"name": "team/app", "reference": "` + digest + `"}`, ceType: "com.example.registry.image.deleted", want: []string{"team/app|"}},
		"zot, repository":      {body: `{"name": "team/app"}`, ceType: "zotregistry.repository.created", want: []string{"team/app|"}},
		"zot, lint":            {body: `{"name": "team/app", "reference": "v1"}`, ceType: "zotregistry.image.lint_failed"},
	} {
		h, list := told()
		header := []string{"Authorization", "Bearer " + secret}
		if test.ceType != "" {
			header = append(header, "Ce-Type", test.ceType)
		}
		if w := post(h, test.body, header...); w.Code != http.StatusNoContent || !slices.Equal(*list, test.want) {
			t.Errorf("%s: got %d, %q; want 204, %q", name, w.Code, *list, test.want)
		}
	}
}

func TestWhatIsNoNotificationIsRefused(t *testing.T) {
	for body, want := range map[string]int{
		"":                               http.StatusBadRequest,
		"{":                              http.StatusBadRequest,
		"{}":                             http.StatusBadRequest,
		"[]":                             http.StatusBadRequest,
		`{"events": 1}`:                  http.StatusBadRequest,
		strings.Repeat(" ", maxBody+1):   http.StatusRequestEntityTooLarge,
		`{"events": [{"action": "x"}]}`:  http.StatusNoContent,
		`{"events": [{"action": null}]}`: http.StatusNoContent,
	} {
		h, list := told()
		if w := post(h, body, "Authorization", "Bearer "+secret); w.Code != want || len(*list) > 0 {
			t.Errorf("%.40q: got %d, %q; want %d", body, w.Code, *list, want)
		}
	}
}

// TestOnlyWhoHasTheSecretIsHeard: in each of the ways in which registries can
// be told to send it.
func TestOnlyWhoHasTheSecretIsHeard(t *testing.T) {
	const body = `{"events": [{"action": "push", "target": {"repository": "app", "tag": "v1"}}]}`
	basic := httptest.NewRequest(http.MethodGet, "/", nil)
	basic.SetBasicAuth("anybody", secret)
	wrong := httptest.NewRequest(http.MethodGet, "/", nil)
	wrong.SetBasicAuth(secret, "wrong")
	for header, want := range map[string]int{
		"Bearer " + secret:                http.StatusNoContent,
		"bearer " + secret:                http.StatusNoContent,
		secret:                            http.StatusNoContent, // Harbor's auth header
		basic.Header.Get("Authorization"): http.StatusNoContent,
		wrong.Header.Get("Authorization"): http.StatusUnauthorized,
		"":                                http.StatusUnauthorized,
		"Bearer":                          http.StatusUnauthorized,
		"Bearer ":                         http.StatusUnauthorized,
		"Bearer " + secret[1:]:            http.StatusUnauthorized,
		"Bearer " + secret + "x":          http.StatusUnauthorized,
		"Token " + secret:                 http.StatusUnauthorized,
		"Bearer " + secret[:8]:            http.StatusUnauthorized,
		strings.ToUpper(secret):           http.StatusUnauthorized,
	} {
		h, list := told()
		w := post(h, body, "Authorization", header)
		if w.Code != want || (len(*list) > 0) != (want == http.StatusNoContent) {
			t.Errorf("%q: got %d, %q; want %d", header, w.Code, *list, want)
		}
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("%q: the answer has the secret", header)
		}
	}
}

func TestNotificationsAreBounded(t *testing.T) {
	h, list := told()
	now := time.Unix(1000, 0)
	h.now = func() time.Time { return now }
	taken := 0
	for i := range 3 * perSecond {
		w := post(h, fmt.Sprintf(`{"events": [{"action": "push", "target": {"repository": "app", "tag": "v%d"}}]}`, i), "Authorization", secret)
		switch {
		case w.Code == http.StatusNoContent:
			taken++
		case w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "":
			t.Fatalf("got %d, %v", w.Code, w.Header())
		}
	}
	if taken != perSecond || len(*list) != perSecond {
		t.Errorf("got %d in a second, want %d", taken, perSecond)
	}
	now = now.Add(time.Second)
	if w := post(h, `{"events": []}`, "Authorization", secret); w.Code != http.StatusNoContent {
		t.Errorf("in the next second: got %d, want 204", w.Code)
	}
	*list = nil
	event := `{"action": "push", "target": {"repository": "app", "tag": "v%d"}},`
	var b strings.Builder
	for i := range 2 * maxChanges {
		fmt.Fprintf(&b, event, i)
	}
	post(h, `{"events": [`+strings.TrimSuffix(b.String(), ",")+`]}`, "Authorization", secret)
	if len(*list) != maxChanges {
		t.Errorf("got %d changes of one notification, want %d", len(*list), maxChanges)
	}
}

func FuzzParse(f *testing.F) {
	for _, kind := range []string{"", "zotregistry.image.updated", "x.image.deleted"} {
		f.Add(kind, []byte(`{"events": [{"action": "push", "target": {"repository": "app", "tag": "v1"}}]}`))
		f.Add(kind, []byte(`{"type": "PUSH_ARTIFACT", "event_data": {"resources": [{"tag": "t"}], "repository": {"repo_full_name": "r"}}}`))
		f.Add(kind, []byte(`{"name": "a", "reference": "b"}`))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		list, err := parse(kind, body)
		if err != nil && len(list) > 0 || len(list) > maxChanges {
			t.Errorf("got %d changes, %v", len(list), err)
		}
		for _, c := range list {
			if c.repo == "" {
				t.Errorf("a change of no repository in %q", body)
			}
		}
	})
}
