// What sites.json says, as the page shows it: repositories, and in each the
// versions, newest first, with the tags that name them.

const natural = new Intl.Collator('en', { numeric: true });

const time = (text) => (text ? Date.parse(text) : 0);

/** Makes the repositories of sites.json. */
export function repositories(sites) {
  return sites.repositories.map((repo) => {
    const versions = new Map();
    for (const tag of repo.tags) {
      const known = sites.versions[tag.digest] ?? {};
      const key = known.manifest ?? tag.digest ?? `tag ${tag.name}`;
      if (!versions.has(key)) versions.set(key, { key, repo: repo.name, digest: tag.digest, tags: [], ...known });
      versions.get(key).tags.push({ ...tag, path: tag.path ?? `${repo.name}/${tag.name}` });
    }
    const all = [...versions.values()];
    for (const version of all) finish(version);
    all.sort(newestFirst);
    const resolved = repo.tags.every((tag) => tag.digest);
    return { key: repo.name, name: repo.name, problem: repo.problem, tags: repo.tags.length, all: all.length, resolved, versions: all };
  });
}

/** Says of a version when it came, as far as anybody knows. */
function finish(version) {
  const by = (field) => version.tags.map((tag) => time(tag[field])).filter((t) => t > 0);
  const pushed = by('pushed'), before = by('before');
  version.tags.sort((a, b) => (b.name === 'latest') - (a.name === 'latest') || natural.compare(b.name, a.name));
  version.created = time(version.created);
  version.before = before.length > 0 ? Math.min(...before) : 0;
  version.pushed = before.length === 0 && pushed.length > 0 ? Math.min(...pushed) : 0;
  version.moved = Math.max(0, ...pushed);
  version.order = version.moved || version.created || version.before;
  version.latest = version.tags[0].name === 'latest';
}

function newestFirst(a, b) {
  return b.latest - a.latest || b.order - a.order || natural.compare(b.tags[0].name, a.tags[0].name);
}

/** Leaves what fits all words of a query. */
export function search(repos, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return repos;
  const fits = (...texts) => words.every((word) => texts.some((text) => text?.toLowerCase().includes(word)));
  const found = [];
  for (const repo of repos) {
    if (fits(repo.name)) {
      found.push(repo);
      continue;
    }
    const versions = [];
    for (const version of repo.versions) {
      const tags = version.tags.filter((tag) => fits(repo.name, tag.name, `${repo.name}:${tag.name}`, `${repo.name}/${tag.name}`));
      if (tags.length > 0) versions.push({ ...version, tags });
      else if (fits(repo.name, version.digest, version.manifest)) versions.push(version);
    }
    if (versions.length > 0) found.push({ ...repo, versions });
  }
  return found;
}

/** Tells which tags name something else than before, as "repository:tag". */
export function moves(before, after) {
  const named = new Map();
  for (const repo of before?.repositories ?? []) for (const tag of repo.tags) if (tag.digest) named.set(`${repo.name}:${tag.name}`, tag.digest);
  const listed = new Set((before?.repositories ?? []).map((repo) => repo.name));
  const moved = [];
  for (const repo of after.repositories) {
    for (const tag of repo.tags) {
      const name = `${repo.name}:${tag.name}`;
      const was = named.get(name);
      if (tag.digest && tag.pushed && was !== tag.digest && listed.has(repo.name)) moved.push({ name, isNew: !was });
    }
  }
  return moved;
}
