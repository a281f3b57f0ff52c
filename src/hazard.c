#include "hazard.h"

#include <pthread.h>

#include "meta.h"
#include "os.h"

_Atomic bool hazard_wanted = true;

static _Atomic uint32_t batch;         /* (~) odd while a batch is under way; a futex */
static Hazard *_Atomic hazards;        /* (~) all there ever were; only grows */
static _Thread_local Hazard *own __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static _Atomic uint32_t key_state;     /* (~) 0 none, 1 being made, 2 made */

/* Thread exit: the record is the next thread's. */
static void give_back(void *hazard) {
  Hazard *h = hazard;
  own = NULL;
  store_relaxed(&h->start, 0);
  store_relaxed(&h->end, 0);
  store_release(&h->taken, false); /* pairs with the acquire in take_old */
}

static void arrange_give_back(Hazard *h) {
  uint32_t expected = 0;
  if (cas_acquire(&key_state, &expected, 1)) {
    bool ok = pthread_key_create(&key, give_back) == 0;
    store_release(&key_state, ok ? 2 : 0);
  }
  if (load_acquire(&key_state) == 2) pthread_setspecific(key, h); /* acquire: the store above */
}

static Hazard *take_old(void) {
  for (Hazard *h = load_acquire(&hazards); h != NULL; h = h->next) { /* acquire: the cas in make_new */
    bool expected = false;
    if (!load_relaxed(&h->taken) && cas_acquire(&h->taken, &expected, true)) return h;
  }
  return NULL;
}

static Hazard *make_new(void) {
  Hazard *h = meta_alloc(sizeof *h);
  if (h == NULL) return NULL;
  atomic_init(&h->start, 0);
  atomic_init(&h->end, 0);
  h->frame = 0;
  atomic_init(&h->taken, true);
  h->next = load_relaxed(&hazards);
  while (!atomic_compare_exchange_weak_explicit(&hazards, &h->next, h, memory_order_release,
                                                memory_order_relaxed)) {
  }
  return h;
}

/* Not in a signal handler that interrupted malloc: it allocates. */
static NOINLINE Hazard *own_hazard(void) {
  if (locks_held > 0) return NULL;
  Hazard *h = take_old();
  if (h == NULL) h = make_new();
  own = h;
  if (h != NULL) arrange_give_back(h);
  return h;
}

/* Orders this thread's stores before its later loads as far as the compiler is concerned; the batch's
 * membarrier does it for the processor. */
#define light_fence() atomic_signal_fence(memory_order_seq_cst)

/* What the record holds was left behind: the function that published it was called with a stack pointer no
 * higher than this one's caller, so its frame is no more. Stack pointers of different stacks say nothing;
 * handlers may run on a stack of their own. */
static bool left_behind(const Hazard *h, uintptr_t frame) {
  uintptr_t start, end;
  os_signal_stack(&start, &end);
  bool was_on_it = h->frame - start < end - start, is_on_it = frame - start < end - start;
  return is_on_it == was_on_it ? frame >= h->frame : was_on_it;
}

static void publish(Hazard *h, uintptr_t start, uintptr_t end) {
  store_relaxed(&h->start, start);
  store_relaxed(&h->end, end);
  light_fence();
  if (hazard_batch_running()) hazard_wait();
}

Published hazard_publish_at(uintptr_t frame, const void *buffer, size_t size) {
  Published p = {.hazard = NULL};
  Hazard *h = own != NULL ? own : own_hazard();
  if (h == NULL || size == 0) return p; /* no record to be had: as without libmesh's wrapper */
  p = (Published){.hazard = h, .start = load_relaxed(&h->start), .end = load_relaxed(&h->end), .frame = h->frame};
  uintptr_t start = (uintptr_t)buffer, end = start + size;
  if (p.start != p.end && left_behind(h, frame)) p.start = p.end;
  if (p.start != p.end) {
    if (p.start < start) start = p.start;
    if (p.end > end) end = p.end;
  }
  h->frame = frame;
  publish(h, start, end);
  return p;
}

void hazard_add_at(Published *p, uintptr_t frame, const void *buffer, size_t size) {
  if (p->hazard == NULL) {
    *p = hazard_publish_at(frame, buffer, size);
  } else if (size > 0) {
    Hazard *h = p->hazard;
    uintptr_t start = load_relaxed(&h->start), end = load_relaxed(&h->end), from = (uintptr_t)buffer;
    publish(h, from < start ? from : start, from + size > end ? from + size : end);
  }
}

void hazard_clear_slow(const Published *p) {
  Hazard *h = p->hazard;
  light_fence();
  store_relaxed(&h->end, p->start == p->end ? load_relaxed(&h->start) : p->end);
  store_relaxed(&h->start, p->start);
  store_relaxed(&h->end, p->end);
  h->frame = p->frame;
}

bool hazard_batch_running(void) { return load_acquire(&batch) & 1; } /* acquire: hazard_end's release */

uint32_t hazard_batch_number(void) { return load_relaxed(&batch); }

void hazard_wait(void) {
  uint32_t seen = load_acquire(&batch); /* acquire: hazard_end's release */
  while (seen & 1) {
    os_futex_wait((uint32_t *)&batch, seen);
    seen = load_acquire(&batch);
  }
}

bool hazard_begin(void) {
  store_relaxed(&batch, load_relaxed(&batch) + 1);
  if (os_fence_all_threads()) return true;
  hazard_end();
  return false;
}

void hazard_end(void) {
  store_release(&batch, load_relaxed(&batch) + 1);
  os_futex_wake((uint32_t *)&batch, INT_MAX);
}

bool hazard_overlaps(const void *start, size_t size) {
  const uintptr_t from = (uintptr_t)start, to = from + size;
  for (Hazard *h = load_acquire(&hazards); h != NULL; h = h->next) /* acquire: the cas in make_new */
    if (load_relaxed(&h->start) < to && load_relaxed(&h->end) > from) return true;
  return false;
}

void hazard_forget_others(void) {
  for (Hazard *h = load_relaxed(&hazards); h != NULL; h = h->next) {
    if (h == own) continue;
    store_relaxed(&h->start, 0);
    store_relaxed(&h->end, 0);
    store_relaxed(&h->taken, false);
  }
}
