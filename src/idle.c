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
  BUSY_MS = 1,     /* where others mesh, or want what meshing needs */
  LATE_MS = 2,     /* that somebody else may wake too late, ... */
  GONE_MS = 1000,  /* ... and that he may be late who has gone his way before */
};

static _Atomic uint64_t next_look; /* (~) os_now_ms */
static _Atomic bool foreseen;      /* (~) the last look left something for later */

/* Of all threads that sleep one wakes for what is to be done next: hundreds would be in each other's way. */
static _Atomic uint64_t watch;           /* (~) os_now_ms when a sleeping thread wakes for it; in the past if none does */
static _Thread_local uint64_t own_watch; /* (T) what this thread made it; 0 if another did */

/* False if another thread will be awake by then. */
static bool take_watch(uint64_t now_ms, uint32_t wait) {
  const uint64_t wanted = now_ms + wait;
  uint64_t set = load_relaxed(&watch);
  if (set > now_ms && set <= wanted + LATE_MS) return false;
  if (!cas_relaxed(&watch, &set, wanted)) return false; /* to whoever was faster, at about the same time */
  own_watch = wanted;
  return true;
}

void idle_awake(void) {
  uint64_t set = own_watch;
  own_watch = 0;
  if (set != 0) cas_relaxed(&watch, &set, 0);
}

bool idle_due(void) {
  if (!load_acquire(&init_done)) return false; /* acquire: init_slow's release */
  if (locks_held > 0) return false; /* in a handler that interrupted what holds locks, perhaps in the midst of a fork */
  return os_now_ms() >= load_relaxed(&next_look) || load_relaxed(&foreseen) || load_relaxed(&arena.dirty_pages) > 0 ||
         thread_heap_changed();
}

uint32_t idle_pause(void) {
  const uint64_t now_ms = os_now_ms(), next = load_relaxed(&next_look);
  return now_ms < next ? (uint32_t)(next - now_ms) : 0;
}

/* What is everybody's. As idle_work, but UINT32_MAX only if nothing is foreseen. */
static uint32_t shared_work(uint64_t now_ms) {
  uint32_t wait = UINT32_MAX;
  const bool more = global_heap_tick(now_ms);
  if (load_relaxed(&arena.dirty_pages) > 0) wait = options.purge_delay_ms;
  const bool left = !depot_is_empty() || meta_purge_due() || load_relaxed(&classes_unreleased) != 0;
  if (left) wait = (uint32_t)min_size(wait, CACHES_MS);
  if (!options.background) {
    const MeshProgress progress = mesh_pass_work(IDLE_WORK_NS);
    if (progress == MESH_MORE) return 0;
    if (progress == MESH_BUSY) return BUSY_MS;
    if (progress == MESH_LATER) wait = (uint32_t)min_size(wait, mesh_pass_next_due(now_ms));
  }
  if (more) return 0;
  store_relaxed(&foreseen, wait != UINT32_MAX);
  store_relaxed(&next_look, now_ms + min_size(wait, LOOK_MS));
  return (uint32_t)max_size(wait, 1);
}

uint32_t idle_work(bool own_caches) {
  const uint64_t now_ms = os_now_ms();
  thread_heap_note_look();
  const uint32_t own_wait = own_caches ? thread_heap_shrink(now_ms) : UINT32_MAX, wait = shared_work(now_ms);
  if (wait == 0 || wait == UINT32_MAX) return (uint32_t)min_size(wait, own_wait);
  return (uint32_t)min_size(own_wait, take_watch(now_ms, wait) ? wait : (size_t)wait + GONE_MS);
}
