package registry

import (
	"context"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// credentials are what somebody keeps for a registry. Their zero value is
// nobody's.
type credentials struct {
	username, password string
	identityToken      string // buys tokens, by OAuth2
	registryToken      string // is a token
}

// source finds the credentials for HOST[:PORT]. It may run programs, and read
// files anew each time.
type source func(host string) (credentials, error)

// dockerAndPodman finds what docker login and podman login keep, by
// themselves or with credential helpers. Where both know a host it is docker's
// that counts.
func dockerAndPodman(host string) (credentials, error) {
	reg, err := name.NewRegistry(host)
	if err != nil {
		return credentials{}, err
	}
	auth, err := authn.DefaultKeychain.Resolve(reg)
	if err != nil {
		return credentials{}, err
	}
	if auth == authn.Anonymous {
		return podman(host)
	}
	c, err := authn.Authorization(context.Background(), auth)
	if err != nil {
		return credentials{}, err
	}
	return credentials{c.Username, c.Password, c.IdentityToken, c.RegistryToken}, nil
}

// podman looks into podman's files: go-containerregistry does so only where
// docker has no configuration at all.
func podman(host string) (credentials, error) {
	for _, file := range podmanFiles() {
		c, err := fromFile(file, host)
		if err != nil || c != (credentials{}) {
			return c, err
		}
	}
	return credentials{}, nil
}

// podmanFiles are where podman keeps log-ins, the first that has one counts.
// Source: containers-auth.json(5).
func podmanFiles() []string {
	files := []string{os.Getenv("REGISTRY_AUTH_FILE")}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers/auth.json"))
	}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "containers/auth.json"))
	}
	return files
}

// fromFile finds the credentials for host in a file of podman's, which has the
// format of docker's. A file that is not there has none.
func fromFile(file, host string) (credentials, error) {
	f, err := os.Open(file)
	if os.IsNotExist(err) || file == "" {
		return credentials{}, nil
	}
	if err != nil {
		return credentials{}, err
	}
	defer f.Close()
	parsed, err := config.LoadFromReader(f)
	if err != nil {
		return credentials{}, err
	}
	return fromConfig(parsed, host)
}

func fromConfig(file *configfile.ConfigFile, host string) (credentials, error) {
	if host == name.DefaultRegistry {
		host = "docker.io" // podman's name for it
	}
	c, err := file.GetAuthConfig(host)
	if err != nil {
		return credentials{}, err
	}
	c.ServerAddress = "" // it is filled in also where there is nothing
	if c == (types.AuthConfig{}) {
		return credentials{}, nil
	}
	return credentials{c.Username, c.Password, c.IdentityToken, c.RegistryToken}, nil
}
