#include "arena_mesh.h"

#include <string.h>

#include "barrier.h"
#include "map_count.h"
#include "options.h"
#include "os.h"

static struct {
  char *window;       /* (mesh lock) NULL until the first use */
  size_t size;        /* (mesh lock) bytes */
  int fd;             /* (mesh lock) may be closed by the program at any time: see arena_mesh_fork */
  int stderr_fd;      /* (mesh lock, made at the start, read without) a duplicate of descriptor 2; below 1: none */
  uint64_t *busy;     /* (A) one bit for each page of a frame: it may outlive the span that it was named after */
  uint64_t *kept;     /* (mesh lock) one bit for each page that could not be taken out; behind `busy` */
  size_t bitmap_size; /* (mesh lock) bytes of each */
  _Atomic unsigned forbidden; /* (~) reasons */
  uint32_t wait;      /* (mesh lock) ms between attempts to open it; 0 after one that succeeded ... */
  uint64_t next_try;  /* (mesh lock) ... and os_now_ms of the next */
  void *_Atomic spare; /* (~) a page that is mapped only to be given up where there may be no more mappings, or NULL */
  int process;        /* (mesh lock, read without) whose descriptors these are; 0 before the first */
  uint32_t *prepared; /* (C after open) 1, but 0 in a child that was made without fork_prepare */
  size_t maps_limit;  /* (C after open) */
  bool refusable;     /* (C after open) the system may have no page for the file; a store to it is SIGBUS then */
  _Atomic size_t shared; /* (A), read by all as a hint: pages mapped onto current frames */
  _Atomic size_t on_old_files; /* (A), read by all as a hint: pages mapped onto files from before a fork */
  char *old_window;   /* (mesh lock) what is still to be unmapped of one that was given up, or NULL */
  size_t old_size;    /* (mesh lock) bytes of it ... */
  size_t old_touched; /* (mesh lock) ... of which no more than the first so many have pages */
} mesh;

/* ---------------------------------------------------------------------------------- the window */

static bool open_window(void) {
  const size_t size = pages_to_bytes(arena_pages_reserved());
  const size_t bitmap_size = round_up(arena_pages_reserved() / 8 + 8, arena.page_size);
  if (!map_count_open()) return false;
  uint64_t *busy = os_map_sparse(2 * bitmap_size);
  if (busy == NULL) return false;
  mesh.window = os_window_open(size, &mesh.fd);
  if (mesh.window == NULL) {
    os_unmap(busy, 2 * bitmap_size);
    return false;
  }
  store_relaxed(&mesh.spare, os_map_spare(mesh.window));
  if (mesh.prepared == NULL) mesh.prepared = os_wiped_on_fork();
  mesh.busy = busy;
  mesh.kept = busy + bitmap_size / sizeof *busy;
  mesh.bitmap_size = bitmap_size;
  mesh.size = size;
  mesh.refusable = os_commits_strictly();
  mesh.maps_limit = options.max_maps != 0 ? options.max_maps : os_max_map_count() / 16 * MESH_MAPS_SIXTEENTHS;
  return true;
}

void arena_mesh_fit_limit(void) {
  arena_mesh_unmap_old_window(SIZE_MAX);
  arena_fit_limit(mesh.window != NULL ? mesh.size : 0);
  const size_t size = pages_to_bytes(arena_pages_reserved());
  if (mesh.window == NULL || size >= mesh.size) return;
  os_unmap(mesh.window + size, mesh.size - size);
  mesh.size = size;
}

bool arena_mesh_unmap_old_window(size_t at_most) {
  if (mesh.old_window == NULL || arena_mesh_in_unprepared_child()) return false;
  const bool last = at_most >= mesh.old_touched;
  const size_t bytes = last ? mesh.old_size : at_most;
  os_unmap(mesh.old_window, bytes);
  mesh.old_window = last ? NULL : mesh.old_window + bytes;
  mesh.old_size -= bytes;
  mesh.old_touched -= last ? mesh.old_touched : at_most;
  return !last;
}

bool arena_mesh_in_unprepared_child(void) { return mesh.prepared != NULL && *mesh.prepared == 0; }

bool arena_mesh_is_forbidden(unsigned reason) { return load_relaxed(&mesh.forbidden) & reason; }

bool arena_mesh_forbid(unsigned reason) { return (or_relaxed(&mesh.forbidden, reason) & reason) == 0; }

void arena_mesh_allow(unsigned reason) {
  if (load_relaxed(&mesh.forbidden) & reason) and_relaxed(&mesh.forbidden, ~reason);
}

bool arena_mesh_open(void) {
  if (arena_mesh_in_unprepared_child() || load_relaxed(&mesh.forbidden) != 0) return false;
  if (mesh.window != NULL) return true;
  arena_mesh_unmap_old_window(SIZE_MAX);
  const uint64_t now_ms = os_now_ms();
  if (mesh.wait > 0 && now_ms < mesh.next_try) return false;
  mesh.process = os_process();
  if (barrier_choose() && open_window()) {
    mesh.wait = 0;
    return true;
  }
  /* Descriptors, memory or a limit may be had again later. */
  mesh.wait = (uint32_t)min_size(MESH_BACKOFF_MAX_MS, max_size(MESH_PERIOD_MS, 2 * (size_t)mesh.wait));
  mesh.next_try = now_ms + mesh.wait;
  return false;
}

/* The window's own page table entries stay: without them a frame that nobody has touched since it was
 * made would be in no page table, and Pss would not count it. */
static char *frame_address(uint32_t frame) { return mesh.window + pages_to_bytes(frame); }

/* ------------------------------------------------------------------------- frames and mappings */

bool arena_mesh_claim_frame(uint32_t page, uint32_t pages) {
  bool is_free = true;
  lock_acquire(&arena.lock);
  for (uint32_t i = 0; i < pages && is_free; i++) is_free = !bitmap_get(mesh.busy, page + i);
  for (uint32_t i = 0; i < pages && is_free; i++) bitmap_set(mesh.busy, page + i);
  lock_release(&arena.lock);
  return is_free;
}

void arena_mesh_release_frame(uint32_t frame, uint32_t pages) {
  if (mesh.window == NULL || arena_mesh_in_unprepared_child()) return;
  os_punch(frame_address(frame), pages_to_bytes(pages));
  lock_acquire(&arena.lock);
  for (uint32_t i = 0; i < pages; i++) bitmap_clear(mesh.busy, frame + i);
  lock_release(&arena.lock);
}

/* Memory that came from elsewhere stays a mapping of its own beside any other. */
static uint32_t lone_frame(uint32_t page) { return FRAME_STALE | (FRAME_STALE - 1 - page); }

static bool is_on_old_file(uint32_t page) {
  const uint32_t frame = miniheap_of(page)->frame;
  return (frame & FRAME_STALE) != 0 && frame != lone_frame(page);
}

size_t arena_mesh_pages_on_old_files(void) { return load_relaxed(&mesh.on_old_files); }

/* None comes to be on an old file but by a fork. */
static void set_frame_locked(uint32_t page, uint32_t pages, uint32_t frame) {
  const size_t before = load_relaxed(&mesh.shared), less = frame_is_current(miniheap_of(page)->frame) ? pages : 0;
  store_relaxed(&mesh.shared, before - less + (frame_is_current(frame) ? pages : 0));
  if (is_on_old_file(page)) store_relaxed(&mesh.on_old_files, load_relaxed(&mesh.on_old_files) - pages);
  map_count_set_frame(page, pages, frame);
}

int arena_mesh_cost_of_leaving(uint32_t page, uint32_t pages) {
  lock_acquire(&arena.lock);
  int cost = map_count_cost_of_leaving(page, pages);
  lock_release(&arena.lock);
  return cost;
}

bool arena_mesh_to_anonymous(uint32_t page, uint32_t pages) {
  if (arena_mesh_cost_of_leaving(page, pages) > 0 && arena_mesh_maps() >= mesh.maps_limit) return false;
  if (!os_map_fresh(page_address(page), pages_to_bytes(pages))) return false;
  barrier_mapped_anew(page_address(page), pages_to_bytes(pages));
  lock_acquire(&arena.lock);
  set_frame_locked(page, pages, 0);
  lock_release(&arena.lock);
  return true;
}

/* Puts a copy of the range's pages in their place, while stores to them wait. */
static bool copy_range(uint32_t page, size_t bytes) {
  char *at = page_address(page), *copy = os_map(bytes);
  bool ok = false;
  if (copy == NULL) return false;
  if (barrier_open()) {
    if (barrier_protect(at, bytes)) {
      memcpy(copy, at, bytes);
      ok = barrier_holds() && os_replace(copy, bytes, at);
      if (ok)
        barrier_wake(at, bytes);
      else
        barrier_give_up(at, bytes);
    }
    barrier_close();
  }
  if (!ok) os_unmap(copy, bytes);
  return ok;
}

/* The same without a barrier: `before` is the frame as it was copied, and a word that was stored to since,
 * but before the copy was in place, differs from it in the frame. It is stored again, unless the program has
 * by now stored another. Meanwhile a thread can see its store undone, and where it then stored what was there
 * before, the repair undoes that: only for who cannot do without. */
static bool replace_and_repair(char *at, const _Atomic uint64_t *frame, uint64_t *before, char *copy, size_t bytes) {
  memcpy(before, at, bytes);
  memcpy(copy, before, bytes);
  if (!os_replace(copy, bytes, at)) return false;
  for (size_t i = 0; i < bytes / sizeof *before; i++) {
    uint64_t now = load_relaxed(&frame[i]), expected = before[i];
    if (now != expected) cas_relaxed((_Atomic uint64_t *)at + i, &expected, now);
  }
  return true;
}

static bool copy_range_at_risk(uint32_t page, uint32_t file, size_t bytes) {
  char *copy = os_map(bytes);
  uint64_t *before = os_map(bytes);
  bool ok = copy != NULL && before != NULL &&
            replace_and_repair(page_address(page), (_Atomic uint64_t *)frame_address(file), before, copy, bytes);
  if (copy != NULL && !ok) os_unmap(copy, bytes);
  if (before != NULL) os_unmap(before, bytes);
  return ok;
}

bool arena_mesh_take_out(uint32_t page, uint32_t pages) {
  const uint32_t frame = miniheap_of(page)->frame;
  if (frame_is_current(frame)) {
    if (!copy_range(page, pages_to_bytes(pages))) {
      for (uint32_t i = 0; i < pages; i++) bitmap_set(mesh.kept, page + i);
      return false;
    }
    for (uint32_t i = 0; i < pages; i++) bitmap_clear(mesh.kept, page + i);
    lock_acquire(&arena.lock);
    set_frame_locked(page, pages, lone_frame(page));
    lock_release(&arena.lock);
  }
  return true;
}

void arena_mesh_leave_old_file(uint32_t page, uint32_t pages) {
  if (!is_on_old_file(page) || arena_mesh_in_unprepared_child() || load_relaxed(&mesh.forbidden) != 0) return;
  if (!barrier_choose() || !barrier_allows(miniheap_class(miniheap_of(page))->size)) return;
  if (!copy_range(page, pages_to_bytes(pages))) return;
  lock_acquire(&arena.lock);
  set_frame_locked(page, pages, lone_frame(page));
  lock_release(&arena.lock);
}

size_t arena_mesh_maps(void) {
  lock_acquire(&arena.lock);
  size_t n = map_count() + barrier_maps();
  lock_release(&arena.lock);
  return n;
}

size_t arena_mesh_maps_limit(void) { return mesh.maps_limit; }

/* ------------------------------------------------------------------------------- moving a batch */

static bool leads(const MeshMove *m) { return m->leader == m->page; }

/* Neighbouring spans that go to neighbouring frames: one range, one mapping. */
typedef struct MoveRange {
  size_t first, count; /* in the sorted moves */
} MoveRange;

/* The ranges of the moves at hand, and which moves are protected: too much for the stack of a program that just sleeps,
 * which may be a signal handler's. */
static MoveRange ranges[MESH_BATCH_MAX]; /* (mesh lock) */
static bool protected[MESH_BATCH_MAX];   /* (mesh lock) */

static size_t find_ranges(const MeshMove *moves, size_t count, uint32_t span_pages) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    if (n > 0 && moves[i].page == moves[i - 1].page + span_pages &&
        moves[i].frame == moves[i - 1].frame + span_pages && leads(&moves[i]) == leads(&moves[i - 1]))
      ranges[n - 1].count++;
    else
      ranges[n++] = (MoveRange){.first = i, .count = 1};
  }
  return n;
}

static void sort_moves(MeshMove *moves, size_t count) {
  for (size_t i = 1; i < count; i++) {
    MeshMove m = moves[i];
    size_t j = i;
    for (; j > 0 && moves[j - 1].page > m.page; j--) moves[j] = moves[j - 1];
    moves[j] = m;
  }
}

size_t arena_mesh_maps_needed(MeshMove *moves, size_t count, uint32_t span_pages) {
  sort_moves(moves, count);
  return 2 * find_ranges(moves, count, span_pages);
}

/* Live slots only: where a page of a long span has none, the frame keeps a hole. */
static void copy_live_slots(const MeshMove *move, const SizeClass *sc) {
  MiniHeap *mh = miniheap_of(move->page);
  const uint64_t *bitmap = miniheap_bitmap(mh, sc);
  const char *from = page_address(move->page);
  char *to = frame_address(move->frame);
  for (size_t i = bitmap_next(bitmap, sc->slots, 0); i < sc->slots;) {
    size_t end = i + 1;
    while (end < sc->slots && bitmap_get(bitmap, end)) end++;
    memcpy(to + i * sc->size, from + i * sc->size, (end - i) * sc->size);
    i = bitmap_next(bitmap, sc->slots, end);
  }
}

static bool have_pages(const MeshMove *moves, size_t count, uint32_t span_pages) {
  bool have = true;
  for (size_t i = 0; i < count && have && mesh.refusable; i++)
    have = !moves[i].copy || os_populate(frame_address(moves[i].frame), pages_to_bytes(span_pages));
  return have;
}

static char *range_address(const MeshMove *moves, const MoveRange *r) {
  return page_address(moves[r->first].page);
}

/* Neighbouring moves onto neighbouring frames. False if they stay where they are, protected. */
static bool map_moves(const MeshMove *moves, size_t count, uint32_t span_pages) {
  const size_t bytes = count * pages_to_bytes(span_pages);
  char *at = page_address(moves[0].page);
  if (!barrier_holds() || !os_alias(frame_address(moves[0].frame), bytes, at)) return false;
  /* The window is not, and aliases are as the window. */
  if (!os_set_dumped(at, bytes)) map_count_apart();
  lock_acquire(&arena.lock);
  for (size_t i = 0; i < count; i++) set_frame_locked(moves[i].page, span_pages, moves[i].frame);
  lock_release(&arena.lock);
  barrier_wake(at, bytes);
  return true;
}

/* What the frame has of the leader's slots is what the leader sees. */
static bool may_move(const MeshMove *m) { return leads(m) || miniheap_of(m->leader)->frame == m->frame; }

/* The moves of a range, as many as may; `protected` is cleared for those that were mapped. */
static void map_range(const MeshMove *moves, const MoveRange *r, uint32_t span_pages) {
  const size_t range_end = r->first + r->count;
  for (size_t i = r->first, end; i < range_end; i = end) {
    const bool may = may_move(&moves[i]);
    for (end = i + 1; end < range_end && may_move(&moves[end]) == may;) end++;
    if (may && map_moves(moves + i, end - i, span_pages))
      for (size_t k = i; k < end; k++) protected[k] = false;
  }
}

/* Those that are protected still, whatever is next to each other at once. */
static void give_up(const MeshMove *moves, size_t count, uint32_t span_pages) {
  for (size_t i = 0, end; i < count; i = end) {
    end = i + 1;
    if (!protected[i]) continue;
    while (end < count && protected[end] && moves[end].page == moves[end - 1].page + span_pages) end++;
    barrier_give_up(page_address(moves[i].page), (end - i) * pages_to_bytes(span_pages));
  }
}

void arena_mesh_move(MeshMove *moves, size_t count, unsigned c) {
  const SizeClass *sc = &size_classes[c];
  check_debug(count <= MESH_BATCH_MAX);
  /* Linux before 6.17 unmaps the place of an alias before it finds that a limit, lowered since the window was
   * opened, allows none. */
  if (count == 0 || os_address_space_left(0) == 0 || !have_pages(moves, count, sc->span_pages)) return;
  if (!barrier_open()) return;
  if (!barrier_allows(sc->size)) {
    barrier_close();
    return;
  }
  sort_moves(moves, count);
  size_t n = find_ranges(moves, count, sc->span_pages);
  for (size_t i = 0; i < n; i++) {
    const MoveRange *r = &ranges[i];
    bool ok = barrier_protect(range_address(moves, r), r->count * pages_to_bytes(sc->span_pages));
    for (size_t k = r->first; k < r->first + r->count; k++) protected[k] = ok;
  }
  /* A range that could not be protected stays where it is. If it is a leader's, its members still copy
   * theirs through it: those slots nobody stores to. */
  for (size_t i = 0; i < count; i++)
    if (moves[i].copy) copy_live_slots(&moves[i], sc);
  for (int leading = 1; leading >= 0; leading--) /* leaders first: the others follow them */
    for (size_t i = 0; i < n; i++) {
      const size_t first = ranges[i].first;
      if (protected[first] && leads(&moves[first]) == leading)
        map_range(moves, &ranges[i], sc->span_pages);
    }
  give_up(moves, count, sc->span_pages);
  barrier_close();
}

/* ---------------------------------------------------------------------------------------- fork */

/* Makes `pages` pages, mapped in a row onto the file from page `file`, this process's own. Without the file
 * they are copied: behind the barrier if it is to be had, and if no system call under way may write there. */
static void make_private(uint32_t page, uint32_t file, uint32_t pages, bool have_file) {
  const size_t bytes = pages_to_bytes(pages);
  if (have_file && os_map_private(mesh.fd, pages_to_bytes(file), bytes, page_address(page))) return;
  if (copy_range(page, bytes) || copy_range_at_risk(page, file, bytes)) return;
  mesh_fatal("out of memory or mappings before fork, at", page_address(page));
}

/* Threads that wait by shared futexes in pages that were to stay, but could not be taken out, wait by the file's
 * page, where no wake comes any more: all look again, but for those who wait for a mutex that inherits
 * priorities, whom only its owner can wake. Twice, as the first may come before one that knows the old place has
 * gone to sleep. */
static void wake_kept(uint32_t page, uint32_t file, uint32_t pages) {
  for (uint32_t i = 0; i < pages; i++)
    for (int times = 0; times < 2 && bitmap_get(mesh.kept, page + i); times++)
      os_futex_wake_shared((uint32_t *)frame_address(file + i), arena.page_size);
}

static void mark_stale(uint32_t page, uint32_t pages) {
  static uint32_t apart; /* (A) sets the file's pages apart from those of the files before */
  if (pages == 0) apart += FRAMES_APART;
  size_t more = 0;
  for (uint32_t p = page; p < page + pages; p++) {
    MiniHeap *mh = miniheap_of(p);
    if (mh->offset != 0) continue;
    mh->frame = FRAME_STALE | (mh->frame + apart);
    if (is_on_old_file(p)) more += miniheap_class(mh)->span_pages;
  }
  store_relaxed(&mesh.on_old_files, load_relaxed(&mesh.on_old_files) + more);
}

/* The window is left to be unmapped later, without haste, if the child need not do that too. */
static void close_file(bool have_file) {
  if (have_file) os_close(mesh.fd);
  os_unmap(mesh.busy, 2 * mesh.bitmap_size);
  if (os_keep_from_child(mesh.window, mesh.size)) {
    mesh.old_window = mesh.window;
    mesh.old_size = mesh.size;
    mesh.old_touched = pages_to_bytes(arena.frontier);
  } else {
    os_unmap(mesh.window, mesh.size);
  }
  mesh.window = NULL;
}

/* Where the program has used up its mappings, the kernel refuses even one in the place of another. */
static bool give_up_spare(void) {
  void *spare = atomic_exchange_explicit(&mesh.spare, NULL, memory_order_relaxed);
  if (spare != NULL) os_unmap(spare, arena.page_size);
  return spare != NULL;
}

static NOINLINE bool private_allowed(size_t bytes) { /* not beside what every fork runs */
  return os_private_allowed(bytes) || (give_up_spare() && os_private_allowed(bytes));
}

bool arena_mesh_can_fork(void) {
  size_t bytes = pages_to_bytes(load_relaxed(&mesh.shared));
  return bytes == 0 || private_allowed(bytes);
}

static NOINLINE void part_from_file(void) { /* nor is this */
  check_debug(mesh.old_window == NULL);
  give_up_spare();
  bool have_file = os_is_file_of(mesh.fd, mesh.window);
  barrier_fork(true);
  for (uint32_t page = 1, pages; page < arena.frontier; page += pages) {
    uint32_t file = map_count_file_page(page);
    pages = 1;
    if (!frame_is_current(file)) continue;
    while (map_count_file_page(page + pages) == file + pages) pages++;
    make_private(page, file, pages, have_file);
    wake_kept(page, file, pages);
    mark_stale(page, pages);
  }
  barrier_fork(false);
  mark_stale(0, 0);
  store_relaxed(&mesh.shared, 0);
  close_file(have_file);
}

bool arena_mesh_fork(void) {
  if (mesh.window == NULL) return false;
  part_from_file();
  return true;
}

void arena_mesh_fork_child(void) {
  if (mesh.prepared != NULL) *mesh.prepared = 1;
  if (mesh.process != 0) mesh.process = arena.process;
  if (mesh.old_window != NULL) mesh.old_window = NULL;
  arena_mesh_allow(FORBIDDEN_ALL_LOCKED);
  map_count_forked();
  barrier_fork_child();
}

void arena_mesh_keep_stderr(void) {
  mesh.stderr_fd = os_fd_move(2);
  mesh.process = os_process();
}

int arena_mesh_stderr(void) { return mesh.stderr_fd; }

/* Read without the mesh lock: whoever closes descriptors while one of ours is just being made may close
 * it; see barrier_open and os_is_file_of. */
unsigned arena_mesh_next_fd(unsigned fd) {
  unsigned next = UINT_MAX;
  const int ours[] = {mesh.window != NULL ? mesh.fd : -1, barrier_fd(), mesh.stderr_fd > 0 ? mesh.stderr_fd : -1};
  for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
    if (ours[i] >= 0 && (unsigned)ours[i] >= fd && (unsigned)ours[i] < next) next = (unsigned)ours[i];
  return next;
}

bool arena_mesh_owns_fd(int fd) {
  return fd >= 0 && arena_mesh_next_fd((unsigned)fd) == (unsigned)fd && mesh.process == os_process();
}

void arena_mesh_move_fds(int fd) {
  if (mesh.window != NULL && fd == mesh.fd) mesh.fd = os_fd_move(fd);
  if (fd == mesh.stderr_fd) mesh.stderr_fd = os_fd_move(fd);
  barrier_move_fd(fd);
}
