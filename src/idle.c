#include "idle.h"

#include "global_heap.h"
#include "init.h"
#include "mesh_pass.h"
#include "meta.h"
#include "options.h"
#include "os.h"
#include "thread_local_heap.h"

#define IDLE_WORK_NS 700000
enum {
  LOOK_MS = 20,    /* between looks while there is nothing to do */
  CACHES_MS = 100, /* until what nobody wanted is given back, by the tick after the next */
};

static _Atomic uint64_t next_look; /* (~) os_now_ms */

bool idle_due(void) {
  if (!load_acquire(&init_done)) return false; /* acquire: init_slow's release */
  if (locks_held > 0) return false; /* in a handler that interrupted what holds locks, perhaps in the midst of a fork */
  return os_now_ms() >= load_relaxed(&next_look);
}

uint32_t idle_work(bool own_caches) {
  const uint64_t now_ms = os_now_ms();
  uint32_t wait = UINT32_MAX;
  if (own_caches) thread_heap_shrink(now_ms);
  const bool more = global_heap_tick(now_ms);
  if (load_relaxed(&arena.dirty_pages) > 0) wait = options.purge_delay_ms;
  const bool left = !depot_is_empty() || meta_purge_due() || load_relaxed(&classes_unreleased) != 0;
  if (left) wait = (uint32_t)min_size(wait, CACHES_MS);
  if (!options.background) {
    MeshProgress progress = mesh_pass_work(IDLE_WORK_NS);
    if (progress == MESH_MORE) return 0;
    if (progress == MESH_BUSY) return 1;
    if (progress == MESH_LATER) wait = (uint32_t)min_size(wait, mesh_pass_next_due(now_ms));
  }
  if (more) return 0;
  store_relaxed(&next_look, now_ms + min_size(wait, LOOK_MS));
  return (uint32_t)max_size(wait, 1);
}
