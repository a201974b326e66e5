// What stubs are tried on, on every architecture: calls in a loop, a variable, and with an argument a signal, a fork or
// no end.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

volatile long glob = 0x1234;

__attribute__((noinline)) long add(long a, long b) {
    glob = a + b;
    return glob;
}

__attribute__((noinline)) long loop(long n) {
    long sum = 0;
    for (long i = 0; i < n; i++)
        sum = add(sum, i);
    return sum;
}

int main(int argc, char **argv) {
    long sum = loop(10);
    if (argc > 1 && argv[1][0] == 's')
        raise(SIGUSR1);
    if (argc > 1 && argv[1][0] == 'f' && fork() == 0)
        _exit(3);
    while (argc > 1 && argv[1][0] == 'r')
        loop(1000);
    return (int)sum + 10;
}
