/* `syscall` in the static library, which has it for one reason: mlockall made by it is known too. In the shared
 * library there is more to it (interpose_process.c). */
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "interpose_memory.h"
#include "os_syscall.h"

/* Weak: a static program may bring its own. */
__attribute__((visibility("default"), weak)) long syscall(long number, ...) {
  uintptr_t a[6];
  long result;
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, uintptr_t);
  va_end(list);
  if (memory_lock_call(number, a, &result)) return result;
  result = raw_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (result >= 0 || result < -4095) return result;
  errno = (int)-result;
  return -1;
}
