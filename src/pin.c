#include "pin.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "os.h"

enum {
  STEP = 1 << 16,     /* entries made usable at a time */
  TAKE_OUT_TRIES = 5  /* a millisecond apart */
};

/* How often each span is pinned, by the page it starts at. Reserved at the first pin, and usable as far as pins
 * went: where a program locks all its memory, all that is usable is resident. */
static struct {
  _Atomic uint16_t *entry; /* (C after the first pin) entries (S) */
  _Atomic uint32_t count;  /* (~, raised under the mesh lock) usable */
} pins;

/* (mesh lock) */
static bool make_usable(uint32_t page) {
  const size_t size = sizeof *pins.entry, reserved = round_up(arena.pages_reserved, STEP);
  const uint32_t count = load_relaxed(&pins.count);
  if (page < count) return true;
  if (pins.entry == NULL) pins.entry = (_Atomic uint16_t *)os_reserve(reserved * size);
  if (pins.entry == NULL) return false;
  const uint32_t more = (uint32_t)round_up((size_t)page + 1, STEP) - count;
  if (!os_commit((void *)(pins.entry + count), more * size)) return false;
  store_release(&pins.count, count + more); /* pairs with the acquire in is_usable */
  return true;
}

static bool is_usable(uint32_t page) { return page < load_acquire(&pins.count); } /* acquire: make_usable's release */

/* A span in a group leaves it: a frame is parted from it by the next fork. False if the system has no room for that,
 * or a system call under way may write there. (mesh lock, S) */
static bool take_out(ClassHeap *h, uint32_t page) {
  MiniHeap *mh = miniheap_of(page);
  const uint32_t leader = mh->leader, frame = mh->frame, pages = miniheap_class(mh)->span_pages;
  if (!frame_is_current(frame)) return true;
  if (!arena_mesh_take_out(page, pages)) return false;
  bin_remove(h, miniheap_of(leader));
  uint32_t rest = mesh_group_split(page);
  rebin(h, page, mh);
  if (rest == 0) {
    arena_mesh_release_frame(frame, pages);
    return true;
  }
  rebin(h, rest, miniheap_of(rest));
  h->members--;
  sub_relaxed(&mesh_pages_released, pages);
  return true;
}

/* (S) */
static bool add_pin(ClassHeap *h, uint32_t page) {
  (void)h;
  const uint16_t n = load_relaxed(&pins.entry[page]);
  if (n < UINT16_MAX) store_relaxed(&pins.entry[page], (uint16_t)(n + 1));
  return true;
}

/* (S) */
static bool take_pin(ClassHeap *h, uint32_t page) {
  (void)h;
  const uint16_t n = load_relaxed(&pins.entry[page]);
  if (n > 0) store_relaxed(&pins.entry[page], (uint16_t)(n - 1));
  return true;
}

/* Of the range, which lies in the arena; true if `change` was for each. */
static bool each_span(const char *p, size_t size, bool (*change)(ClassHeap *h, uint32_t page)) {
  const uint32_t first = page_of(p), last = page_of(p + size - 1);
  bool ok = true;
  for (uint32_t page = first; page <= last; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END) continue;
    lock_acquire(&class_heaps[c].lock);
    const uint32_t head = page - miniheap_of(page)->offset;
    if (head == page || page == first) ok &= change(&class_heaps[c], head);
    lock_release(&class_heaps[c].lock);
  }
  return ok;
}

/* What of the range lies in the arena; false if nothing does. */
static bool clip(const void **p, size_t *size) {
  const size_t limit = load_relaxed(&arena.limit);
  if ((uintptr_t)*p < arena.base) {
    const size_t before = arena.base - (uintptr_t)*p;
    if (*size <= before) return false;
    *p = (const void *)arena.base;
    *size -= before;
  }
  const size_t offset = (uintptr_t)*p - arena.base;
  if (offset >= limit) return false;
  *size = min_size(*size, limit - offset);
  return *size > 0;
}

bool pin(const void *p, size_t size) {
  if (!clip(&p, &size)) return true;
  lock_acquire(mesh_lock());
  bool ok = make_usable(page_of((const char *)p + size - 1));
  for (int i = 0; ok && !each_span(p, size, take_out) && i < TAKE_OUT_TRIES; i++) {
    lock_release(mesh_lock()); /* for who makes that system call */
    os_sleep_ms(1);
    lock_acquire(mesh_lock());
  }
  if (ok) each_span(p, size, add_pin);
  lock_release(mesh_lock());
  return ok;
}

void unpin(const void *p, size_t size) {
  if (clip(&p, &size) && is_usable(page_of((const char *)p + size - 1)))
    each_span(p, size, take_pin);
}

bool pin_holds(uint32_t page) { return is_usable(page) && load_relaxed(&pins.entry[page]) > 0; }

void pin_forget(uint32_t page) {
  if (pin_holds(page)) store_relaxed(&pins.entry[page], 0);
}
