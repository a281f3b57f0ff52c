#include "lock.h"

#include "check.h"
#include "os.h"

enum { SPINS = 100 }; /* about 1 to 3 us: as long as a short critical section, well below a sleep */

_Thread_local uint32_t locks_held;
_Thread_local bool lock_was_wanted;

static inline void cpu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void lock_wait(Lock *lock) {
  for (int i = 0; i < SPINS; i++) {
    uint32_t expected = 0;
    if (load_relaxed(&lock->word) == 0 && cas_acquire(&lock->word, &expected, 1)) return;
    cpu_relax();
  }
  add_relaxed(&lock->waits, 1);
  while (exchange_acquire(&lock->word, 2) != 0) os_futex_wait((uint32_t *)&lock->word, 2);
}

void lock_wake(Lock *lock) {
  lock_was_wanted = true;
  os_futex_wake((uint32_t *)&lock->word, 1);
}

void lock_reset(Lock *lock) {
  if (MESH_DEBUG) lock_note_released(lock);
  store_release(&lock->word, 0);
  lock_count(-1u);
}

/* One bit for each rank held. */
static _Thread_local uint64_t held[(RANK_COUNT + 63) / 64];

void lock_check_rank(const Lock *lock) {
  for (uint32_t r = lock->rank; r < RANK_COUNT; r++)
    if (held[r / 64] >> (r % 64) & 1) mesh_fatal("locks taken out of rank order", lock);
}

void lock_note_taken(const Lock *lock) {
  held[lock->rank / 64] |= (uint64_t)1 << (lock->rank % 64);
}

void lock_note_released(const Lock *lock) {
  if (!(held[lock->rank / 64] >> (lock->rank % 64) & 1)) mesh_fatal("a lock released that is not held", lock);
  held[lock->rank / 64] &= ~((uint64_t)1 << (lock->rank % 64));
}
