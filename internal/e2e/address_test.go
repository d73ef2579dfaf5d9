package e2e

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestTheAddressesThatAreToldAreServed goes to where upload and status say that
// versions are.
func TestTheAddressesThatAreToldAreServed(t *testing.T) {
	reg := startRegistry(t)
	site{"index.html": nil}.publish(t, reg.host, "team/docs", "v0") // so that the folder team is known
	d := mount(t, reg.host)
	web := startNginx(t, d.dir)
	for _, tag := range []string{"v1.2", "Feature_X", "2024-05-01", strings.Repeat("long", 20), "xn"} {
		content := "this is " + tag
		images := bundle(t, site{"index.html": []byte(content)}.write(t), tag)
		told := run(t, "", command(t, "upload"), tag, reg.host+"/team/docs", "--images", images, "--web", web.url)
		addresses := regexp.MustCompile(`http://\S+`).FindAllString(told.stderr, -1)
		if told.code != 0 || len(addresses) != 2 {
			t.Fatalf("upload ended with %d and %q, want two addresses", told.code, told.stderr)
		}
		for _, address := range addresses {
			if got := fetchFrom(t, web, address); got != content {
				t.Errorf("%s: got %.100q, want %q", address, got, content)
			}
		}
		if status := succeed(t, "", command(t, "regfs"), "status", d.dir, "--web", web.url); !strings.Contains(status, " "+addresses[1]+" ") {
			t.Errorf("status does not tell %s:\n%s", addresses[1], status)
		}
	}
}

// fetchFrom asks the web server for an address whose host only browsers find.
func fetchFrom(t *testing.T, web *nginx, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return askServer(t, web.url, u.Host, u.Path, webRequest{}).body
}
