#include "fake_os.h"

#include <sys/mman.h>

#include "bits.h"
#include "os.h"

FakeOs fake_os;

/* What the linker calls the functions of os_linux.c. */
size_t __real_os_page_size(void);
size_t __real_os_address_space_left(size_t but_for);
void *__real_os_reserve(size_t size);
void *__real_os_map(size_t size);
void __real_os_unmap(void *addr, size_t size);
bool __real_os_commit(void *addr, size_t size);
bool __real_os_purge(void *addr, size_t size);
bool __real_os_populate(void *addr, size_t size);
bool __real_os_map_fresh(void *addr, size_t size);
bool __real_os_move_pages(void *from, size_t from_size, void *to, size_t to_size);
bool __real_os_fill_hole(void *addr, size_t size);
uint64_t __real_os_now_ms(void);
uint64_t __real_os_now_ns(void);

/* ... and what it calls in their place. */
size_t __wrap_os_page_size(void);
size_t __wrap_os_address_space_left(size_t but_for);
void *__wrap_os_reserve(size_t size);
void *__wrap_os_map(size_t size);
void __wrap_os_unmap(void *addr, size_t size);
bool __wrap_os_commit(void *addr, size_t size);
bool __wrap_os_purge(void *addr, size_t size);
bool __wrap_os_populate(void *addr, size_t size);
bool __wrap_os_map_fresh(void *addr, size_t size);
bool __wrap_os_move_pages(void *from, size_t from_size, void *to, size_t to_size);
bool __wrap_os_fill_hole(void *addr, size_t size);
uint64_t __wrap_os_now_ms(void);
uint64_t __wrap_os_now_ns(void);
uint64_t __wrap_os_random(void);

/* Counts a call; true if it is to fail. */
static bool fails(OsCall call) {
  fake_os.calls[call]++;
  fake_os.calls[ANY_CALL]++;
  if (fake_os.failing != ANY_CALL && fake_os.failing != call) return false;
  unsigned n = fake_os.calls[fake_os.failing];
  if (fake_os.first_fail == 0 || n < fake_os.first_fail || n > fake_os.last_fail) return false;
  fake_os.failed++;
  return true;
}

static void *counted(void *p, size_t size) {
  if (p != NULL) fake_os.mapped += size;
  return p;
}

size_t __wrap_os_page_size(void) {
  return fake_os.page_size != 0 ? fake_os.page_size : __real_os_page_size();
}

size_t __wrap_os_address_space_left(size_t but_for) {
  return fake_os.address_space_left != 0 ? fake_os.address_space_left : __real_os_address_space_left(but_for);
}

/* A kernel of larger pages would return an address that is a multiple of them. */
void *__wrap_os_reserve(size_t size) {
  if (fails(RESERVE_CALL)) return NULL;
  if (fake_os.page_size == 0) return counted(__real_os_reserve(size), size);
  char *p = __real_os_reserve(size + fake_os.page_size);
  return p == NULL ? NULL : counted((void *)round_up((uintptr_t)p, fake_os.page_size), size);
}

void *__wrap_os_map(size_t size) { return fails(MAP_CALL) ? NULL : counted(__real_os_map(size), size); }

void __wrap_os_unmap(void *addr, size_t size) {
  fake_os.mapped -= size;
  __real_os_unmap(addr, size);
}

bool __wrap_os_commit(void *addr, size_t size) { return !fails(COMMIT_CALL) && __real_os_commit(addr, size); }

bool __wrap_os_purge(void *addr, size_t size) { return !fails(PURGE_CALL) && __real_os_purge(addr, size); }

bool __wrap_os_populate(void *addr, size_t size) {
  return !fails(POPULATE_CALL) && __real_os_populate(addr, size);
}

bool __wrap_os_map_fresh(void *addr, size_t size) {
  return !fails(MAP_FRESH_CALL) && __real_os_map_fresh(addr, size);
}

bool __wrap_os_move_pages(void *from, size_t from_size, void *to, size_t to_size) {
  return !fails(MOVE_PAGES_CALL) && __real_os_move_pages(from, from_size, to, to_size);
}

/* It fails when somebody else's mapping took the hole: that stands there, not to be touched. */
bool __wrap_os_fill_hole(void *addr, size_t size) {
  if (!fails(FILL_HOLE_CALL)) return __real_os_fill_hole(addr, size);
  mmap(addr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return false;
}

uint64_t __wrap_os_now_ms(void) { return fake_os.now_ms != 0 ? fake_os.now_ms : __real_os_now_ms(); }

uint64_t __wrap_os_now_ns(void) {
  static uint64_t now;
  if (fake_os.step_ns == 0) return __real_os_now_ns();
  return now += fake_os.step_ns;
}

/* Every run alike. */
uint64_t __wrap_os_random(void) { return 1; }
