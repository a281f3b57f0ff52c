#include "options.h"

#include <string.h>

#include "os.h"

Options options = {.purge_delay_ms = PURGE_DELAY_MS, .period_ms = MESH_PERIOD_MS};

static const char *const barrier_names[] = {"auto", "uffd", "uffd-user", "mprotect", "off"};

const char *barrier_name(BarrierKind kind) { return barrier_names[kind]; }

static BarrierKind barrier_named(const char *name) {
  for (unsigned k = BARRIER_AUTO; k <= BARRIER_OFF; k++)
    if (strcmp(name, barrier_names[k]) == 0) return (BarrierKind)k;
  return BARRIER_AUTO;
}

/* A decimal number from the environment, cut off at `max`; `otherwise` where unset or not a number. */
static uint64_t number(const char *name, uint64_t otherwise, uint64_t max) {
  const char *text = os_getenv(name);
  if (text == NULL || *text < '0' || *text > '9') return otherwise;
  uint64_t x = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    x = x * 10 + (uint64_t)(*text - '0');
    if (x > max) return max;
  }
  return *text == '\0' ? x : otherwise;
}

void options_read(void) {
  options.stats = number("MALLOCSTATS", 0, 1) != 0;
  options.hardened = number("MESH_HARDENED", 0, 1) != 0;
  options.seed = number("MESH_SEED", 0, UINT64_MAX / 10 - 1);
  options.purge_delay_ms = (uint32_t)number("MESH_PURGE_MS", PURGE_DELAY_MS, 1u << 30);
  options.period_ms = (uint32_t)number("MESH_PERIOD_MS", MESH_PERIOD_MS, 1u << 30);
  options.max_maps = number("MESH_MAX_MAPS", 0, 1u << 30);
  options.background = number("MESH_BACKGROUND_THREAD", 0, 1) != 0;
  const char *barrier = os_getenv("MESH_BARRIER");
  options.barrier = barrier != NULL ? barrier_named(barrier) : BARRIER_AUTO;
}
