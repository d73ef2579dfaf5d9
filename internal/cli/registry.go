package cli

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/regfs/regfs/registry"
)

// RegistryFlags are the flags of all commands that speak to a registry.
type RegistryFlags struct {
	caFiles  []string
	insecure bool
}

// Add defines the flags.
func (f *RegistryFlags) Add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.caFiles, "ca-file", nil, "trust the certificate authorities in this PEM file too (repeatable)")
	flags.BoolVar(&f.insecure, "insecure", false, "do not verify certificates: whoever is on the way can read passwords")
}

// Options are what the flags say. They warn of the insecure one: once, since a
// command calls this once.
func (f *RegistryFlags) Options(warn func(string)) ([]registry.Option, error) {
	var opts []registry.Option
	if len(f.caFiles) > 0 {
		roots, err := f.roots()
		if err != nil {
			return nil, WithCode(ExitUsage, err)
		}
		opts = append(opts, registry.WithRoots(roots))
	}
	if f.insecure {
		warn("CERTIFICATES ARE NOT VERIFIED: whoever is on the way can read passwords and answer in the registry's place; --ca-file is the safe way")
		opts = append(opts, registry.WithoutVerification())
	}
	return opts, nil
}

// roots are the authorities of the system and of the files.
func (f *RegistryFlags) roots() (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, file := range f.caFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca-file %s: no certificate in PEM format is in it", file)
		}
	}
	return roots, nil
}
