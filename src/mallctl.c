#include <errno.h>
#include <string.h>

#include "heap_api.h"
#include "mesh.h"
#include "mesh_pass.h"
#include "options.h"
#include "pin.h"
#include "stats.h"

#define EXPORT __attribute__((visibility("default")))

static int read_value(const void *value, size_t size, void *old, size_t *old_len) {
  if (old == NULL || old_len == NULL) return 0;
  if (*old_len != size) return EINVAL;
  memcpy(old, value, size);
  return 0;
}

static int compact(void *old, size_t *old_len) {
  HeapStats before, after;
  size_t pages = 0;
  int error = read_value(&pages, sizeof pages, old, old_len); /* before all the work, and again after it */
  if (error != 0) return error;
  stats_read(&before);
  mesh_trim();
  mesh_pass_all();
  mesh_trim();
  stats_read(&after);
  size_t freed = before.resident_bytes > after.resident_bytes ? before.resident_bytes - after.resident_bytes : 0;
  pages = bytes_to_pages(freed);
  return read_value(&pages, sizeof pages, old, old_len);
}

static int scavenge(size_t *old_len) {
  mesh_trim();
  if (old_len != NULL) *old_len = 0;
  return 0;
}

static int check_period(void *old, size_t *old_len, void *new_value, size_t new_len) {
  unsigned period = options.period_ms;
  int error = read_value(&period, sizeof period, old, old_len);
  if (error != 0 || new_value == NULL) return error;
  if (new_len != sizeof period) return EINVAL;
  memcpy(&period, new_value, sizeof period);
  options.period_ms = period;
  return 0;
}

#define RESIDENT "stats.resident"

typedef struct Figure {
  const char *name;
  size_t offset; /* in HeapStats */
} Figure;

static const Figure figures[] = {
    {"stats.allocated", offsetof(HeapStats, live_bytes)},
    {"stats.active", offsetof(HeapStats, active_bytes)},
    {RESIDENT, offsetof(HeapStats, resident_bytes)},
    {"stats.mapped", offsetof(HeapStats, mapped_bytes)},
    {"stats.metadata", offsetof(HeapStats, metadata_bytes)},
    {"stats.meshed", offsetof(HeapStats, meshed_bytes)},
};

EXPORT int mesh_mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len) {
  if (name == NULL) return ENOENT;
  if (strcmp(name, "mesh.check_period") == 0) return check_period(old, old_len, new_value, new_len);
  const bool writes = new_value != NULL || new_len != 0;
  if (strcmp(name, "mesh.compact") == 0) return writes ? EPERM : compact(old, old_len);
  if (strcmp(name, "mesh.scavenge") == 0) return writes ? EPERM : scavenge(old_len);
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
    if (strcmp(name, figures[i].name) != 0) continue;
    if (writes) return EPERM;
    HeapStats s;
    stats_read(&s);
    if (strcmp(name, RESIDENT) == 0) s.resident_bytes = stats_resident(&s);
    return read_value((const char *)&s + figures[i].offset, sizeof(size_t), old, old_len);
  }
  return ENOENT;
}

EXPORT int mesh_pin(const void *p, size_t size) { return pin(p, size) ? 0 : -1; }
EXPORT void mesh_unpin(const void *p, size_t size) { unpin(p, size); }
