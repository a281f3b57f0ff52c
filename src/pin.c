#include "pin.h"

#include "arena_mesh.h"
#include "mesh_group.h"
#include "os.h"

enum {
  STEP = 1 << 16,            /* entries made usable at a time */
  TAKE_OUT_TRIES = 5,        /* a millisecond apart */
  COUNT_MAX = (1 << 15) - 1, /* an entry has two counts; what gets so far stays so */
  PIN = 1,                   /* one of the one ... */
  LOCKED = 1 << 15,          /* ... and of the other */
  FOR_GOOD = 1 << 30         /* beside them: pin_for_good did it */
};

/* How each span is pinned, by the page it starts at. Reserved at the first pin, and usable as far as pins
 * went: where a program locks all its memory, all that is usable is resident. */
static struct {
  _Atomic uint32_t *entry; /* (C after the first pin) entries (S) */
  _Atomic uint32_t count;  /* (~, raised under the mesh lock) usable */
  size_t reserved;         /* (mesh lock) entries */
} pins;

/* (mesh lock) */
static bool make_usable(uint32_t page) {
  const size_t size = sizeof *pins.entry;
  const uint32_t count = load_relaxed(&pins.count);
  if (page < count) return true;
  if (pins.entry == NULL) {
    pins.reserved = round_up(arena_pages_reserved(), STEP);
    pins.entry = (_Atomic uint32_t *)os_reserve(pins.reserved * size);
  }
  if (pins.entry == NULL || page >= pins.reserved) return false;
  const uint32_t more = (uint32_t)round_up((size_t)page + 1, STEP) - count;
  if (!os_commit((void *)(pins.entry + count), more * size)) return false;
  store_release(&pins.count, count + more); /* pairs with the acquire in is_usable */
  return true;
}

size_t pin_excess(uint32_t pages) {
  const size_t keep = round_up(max_size(pages, load_relaxed(&pins.count)), STEP);
  return pins.reserved > keep ? (pins.reserved - keep) * sizeof *pins.entry : 0;
}

void pin_fit_limit(uint32_t pages) {
  const size_t excess = pin_excess(pages);
  if (pins.entry == NULL || excess == 0) return;
  pins.reserved -= excess / sizeof *pins.entry;
  os_unmap((void *)(pins.entry + pins.reserved), excess);
}

static bool is_usable(uint32_t page) { return page < load_acquire(&pins.count); } /* acquire: make_usable's release */

/* A span in a group leaves it: a frame is parted from it by the next fork. Not if it could not at an earlier pin, as
 * somebody may know the frame by now. False if the system has no room for it, or a system call under way may
 * write there. A span that a fork left on a file leaves that too: nobody moves it once it is pinned. (mesh lock, S) */
static bool take_out(ClassHeap *h, uint32_t page, uint32_t one) {
  (void)one;
  MiniHeap *mh = miniheap_of(page);
  const uint32_t leader = mh->leader, frame = mh->frame, pages = miniheap_class(mh)->span_pages;
  if (!frame_is_current(frame)) {
    if (frame != 0 && !pin_holds(page)) arena_mesh_leave_old_file(page, pages);
    return true;
  }
  if (pin_holds(page)) return false;
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

/* What of an entry counts ones like `one`. */
static uint32_t field_of(uint32_t one) { return one == FOR_GOOD ? FOR_GOOD : one * COUNT_MAX; }

/* (S) */
static bool count_up(ClassHeap *h, uint32_t page, uint32_t one) {
  (void)h;
  const uint32_t n = load_relaxed(&pins.entry[page]), field = field_of(one);
  if ((n & field) < field) store_relaxed(&pins.entry[page], n + one);
  return true;
}

/* (S) */
static bool count_down(ClassHeap *h, uint32_t page, uint32_t one) {
  (void)h;
  const uint32_t n = load_relaxed(&pins.entry[page]), field = field_of(one);
  if ((n & field) > 0 && (n & field) < field) store_relaxed(&pins.entry[page], n - one);
  return true;
}

/* (S) */
static bool count_none(ClassHeap *h, uint32_t page, uint32_t one) {
  (void)h;
  store_relaxed(&pins.entry[page], load_relaxed(&pins.entry[page]) & ~field_of(one));
  return true;
}

typedef bool (*Change)(ClassHeap *h, uint32_t page, uint32_t one);

/* Of the range, which lies in the arena; true if `change` was for each. */
static bool each_span(const char *p, size_t size, Change change, uint32_t one) {
  const uint32_t first = page_of(p), last = page_of(p + size - 1);
  bool ok = true;
  for (uint32_t page = first; page <= last; page++) {
    unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END) continue;
    lock_acquire(&class_heaps[c].lock);
    if (class_at(page_address(page)) == c) { /* still: it may be somebody else's, between the objects */
      const uint32_t head = page - miniheap_of(page)->offset;
      if (head == page || page == first) ok &= change(&class_heaps[c], head, one);
    }
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

static bool pin_by(const void *p, size_t size, uint32_t one) {
  if (!clip(&p, &size)) return true;
  bool out = false;
  lock_acquire(mesh_lock());
  const bool ok = make_usable(page_of((const char *)p + size - 1));
  for (int i = 0; ok && !(out = each_span(p, size, take_out, one)) && i < TAKE_OUT_TRIES; i++) {
    lock_release(mesh_lock()); /* for who makes that system call */
    os_sleep_ms(1);
    lock_acquire(mesh_lock());
  }
  if (ok) each_span(p, size, count_up, one);
  lock_release(mesh_lock());
  return out;
}

static void unpin_by(const void *p, size_t size, uint32_t one) {
  if (clip(&p, &size) && is_usable(page_of((const char *)p + size - 1))) each_span(p, size, count_down, one);
}

bool pin(const void *p, size_t size) { return pin_by(p, size, PIN); }
void unpin(const void *p, size_t size) { unpin_by(p, size, PIN); }
/* Without a lock: the spans cannot end while the caller has a live object in them. */
static bool is_for_good(const void *p, size_t size) {
  if (!clip(&p, &size)) return true;
  const uint32_t last = page_of((const char *)p + size - 1);
  for (uint32_t page = page_of(p); page <= last; page++) {
    const unsigned c = class_at(page_address(page));
    if (c < CLASS_FIRST || c >= CLASS_END) continue;
    const uint32_t head = page - miniheap_of(page)->offset;
    if (!is_usable(head) || !(load_relaxed(&pins.entry[head]) & FOR_GOOD)) return false;
  }
  return true;
}

void pin_for_good(const void *p, size_t size) {
  if (!is_for_good(p, size)) pin_by(p, size, FOR_GOOD);
}

bool pin_locked(const void *p, size_t size) { return pin_by(p, size, LOCKED); }
void unpin_locked(const void *p, size_t size) { unpin_by(p, size, LOCKED); }

void unpin_all_locked(void) {
  for (uint32_t page = 0; is_usable(page); page++)
    if (load_relaxed(&pins.entry[page]) & field_of(LOCKED)) each_span(page_address(page), 1, count_none, LOCKED);
}

bool pin_holds(uint32_t page) { return is_usable(page) && load_relaxed(&pins.entry[page]) > 0; }

void pin_forget(uint32_t page) {
  if (pin_holds(page)) store_relaxed(&pins.entry[page], 0);
}
