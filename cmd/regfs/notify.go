package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/regfs/regfs/internal/cli"
	"github.com/regfs/regfs/internal/notify"
	"github.com/regfs/regfs/internal/web"
)

// maxSecretFile bounds the file with a secret, in bytes.
const maxSecretFile = 4 << 10

// takeNotifications has registries send word of pushes to POST /notify, if there
// is a file with the secret that they show.
func takeNotifications(own *web.Server, file string, news func(repo, tag string)) error {
	if file == "" {
		return nil
	}
	secret, err := readSecret(file)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--notify-secret-file: %w", err))
	}
	own.Handle("POST /notify", notify.New(secret, news))
	return nil
}

// readSecret reads the first line of a file.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return "", err
	}
	secret, _, _ := strings.Cut(string(text), "\n")
	secret = strings.TrimSpace(secret)
	if len(secret) < notify.MinSecret {
		return "", fmt.Errorf("the first line of %s has %d characters, fewer than %d: 'openssl rand -hex 16' makes a secret", file, len(secret), notify.MinSecret)
	}
	return secret, nil
}
