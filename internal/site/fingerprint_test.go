package site

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
)

func TestFingerprintedNames(t *testing.T) {
	for _, name := range []string{
		"app-3f9a1c2b.js",               // Vite 2, Parcel
		"main.8e0d62a0.css",             // webpack, Angular
		"main.8e0d62a0.chunk.js",        // create-react-app
		"main.8e0d62a0.chunk.js.map",    //
		"chunk-ABCD1234.mjs",            // esbuild
		"chunk-5QKZL2WX.js",             //
		"chunk-XKZQWRTP.js",             // esbuild, without a numeral
		"index-BkT3x9_a.js",             // Vite
		"index-Dx_-a1B2.css",            // Rollup, with both separators in it
		"index-DiwrGTdA.js",             //
		"entry.DlAUqK2U.js",             // SvelteKit
		"DlAUqK2U.js",                   // Nuxt
		"935f2afb.js",                   // Docusaurus
		"framework-2c79e2a64abdb08b.js", // Next.js
		"base.27e20196a850.js",          // Django
		"bundle.83f73b43.min.js",        // MkDocs Material
		"app-0d2cd9ac8a1f4c1d7c9b9d10c4f8e3a4b5c6d7e8f90a1b2c3d4e5f60718293a4.css", // Sprockets
		"logo.5d5d9eefa31e5e13.svg",
		"inter-latin-400-normal-BU6xT3sG.woff2",
		"3F9A1C2B.js",
		"550e8400-e29b-41d4-a716-446655440000.json",
		"photo.aB3dE5gH7jK9.webp",
	} {
		if !isFingerprinted(name) {
			t.Errorf("%s: got no, want a fingerprint", name)
		}
	}
	for _, name := range []string{
		"index.html", "index-3f9a1c2b.html", "page.8e0d62a0.htm", "a-3f9a1c2b.HTML", "x-3f9a1c2b.xhtml", // pages, never
		"app.js", "app-3f9a1c2b", "3f9a1c2b", ".3f9a1c2b", "app-3f9a1c2.js", "",
		"report-20240131.pdf", "IMG_20240131.jpg", "20240131.js", "build-1700000000.js", // numbers
		"section10.js", "chapter-section10.js", "iphone15pro.png", "release2024.css", "Overview2.js", "DSC00012.jpg", "Photo0001.png",
		"jquery-3.7.1.min.js", "bootstrap.bundle.min.js", "font-awesome.css", "apple-touch-icon.png", "some-page.js",
		"background.png", "my-Overview.js", "deadbeef.js", "facade-decade.css", "README-LICENSES.txt", "typescript.js",
		"documentation.js", "internationalization.js", "a b c d e f.js", "ünïcödé-ñàmé.js",
	} {
		if isFingerprinted(name) {
			t.Errorf("%s: got a fingerprint, want none", name)
		}
	}
}

// TestFingerprintsOfBundlersAreFound counts over hashes as they are made: nearly
// all are to be found.
func TestFingerprintsOfBundlersAreFound(t *testing.T) {
	const all = 4000
	missed := map[string]int{}
	for i := range all {
		sum := sha256.Sum256(fmt.Append(nil, i))
		for bundler, name := range map[string]string{
			"hexadecimal, 8":  "main." + hex.EncodeToString(sum[:4]) + ".js",
			"hexadecimal, 16": "main-" + hex.EncodeToString(sum[:8]) + ".js",
			"base64url":       "index-" + base64.RawURLEncoding.EncodeToString(sum[:6]) + ".js",
			"base32":          "chunk-" + base32.StdEncoding.EncodeToString(sum[:5]) + ".js",
		} {
			if !isFingerprinted(name) {
				missed[bundler]++
			}
		}
	}
	for bundler, most := range map[string]float64{"hexadecimal, 8": 0.03, "hexadecimal, 16": 0.001, "base64url": 0.01, "base32": 0.10} {
		if part := float64(missed[bundler]) / all; part > most {
			t.Errorf("%s: %.3f of all names were missed, want at most %.3f", bundler, part, most)
		}
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("app-3f9a1c2b.js")
	f.Add("-.-_~.x")
	f.Fuzz(func(t *testing.T, name string) {
		if isFingerprinted(name) && (len(name) < minHash || isPage(name)) {
			t.Errorf("%q", name)
		}
	})
}
