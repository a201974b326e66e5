/* What the tests of the debugger's server debug. The first argument says what it does. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

volatile long counter;
volatile int going = 1;
__thread int own = 5;

int square(int x) {
  counter += x;
  return x * x;
}

void long_loop(void) {
  for (long i = 0; i < 2000; i++) counter += i;
}

static void *work(void *argument) {
  square((int)(long)argument);
  return NULL;
}

int in_child(int x) { return x + 1; }
int in_parent(int x) { return x + 2; }
void on_signal(int number) { counter += 100; }

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "loop")) {
    while (going) {
      counter++;
      usleep(1000);
    }
    return 7;
  }
  if (!strcmp(what, "fork")) {
    pid_t child = fork();
    if (!child) _exit(in_child(40));
    int status = 0;
    waitpid(child, &status, 0);
    printf("child %d parent %d\n", WEXITSTATUS(status), in_parent(1));
    return 0;
  }
  if (!strcmp(what, "exec")) {
    execl(argv[0], argv[0], "count", NULL);
    return 9;
  }
  if (!strcmp(what, "threads")) {
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, (void *)(i + 10));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    return 4;
  }
  if (!strcmp(what, "signal")) {
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    printf("counter %ld\n", counter);
    return 5;
  }
  if (!strcmp(what, "long")) {
    long_loop();
    return 6;
  }
  int total = 0;
  for (int i = 0; i < 10; i++) total += square(i);
  printf("total %d arguments %d\n", total, argc);
  for (int i = 2; i < argc; i++) printf("[%s]\n", argv[i]);
  return 3;
}
