/* Fills pages one after another, each fourth in the same way, and reads them from the last to the first, three
   times, in loops that touch nothing else. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WORDS = 4096 / 8 };

static void fill(volatile uint64_t *page, uint64_t number) {
    uint64_t state = number;
    for (int word = 0; word < WORDS; word++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t noise = state ^ state >> 29;
        page[word] = number % 4 == 0 ? number : number % 4 == 1 ? noise : noise % 100;
    }
}

int main(int count, char **arguments) {
    int pages = count > 1 ? atoi(arguments[1]) : 100;
    volatile uint64_t *memory =
        mmap(0, pages * 4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int page = 0; page < pages; page++)
        fill(memory + page * WORDS, page);
    uint64_t sum = 0;
    for (int round = 0; round < 3; round++)
        for (int page = pages - 1; page >= 0; page--)
            for (int word = 0; word < WORDS; word++)
                sum += memory[page * WORDS + word];
    return sum == 1;
}
