/* Counts lines, words and bytes of its standard input, like wc. It knows nothing of Caxton. */
#include <ctype.h>
#include <stdio.h>

int main(void) {
    long lines = 0, words = 0, bytes = 0;
    int inside = 0, c;
    while ((c = getchar()) != EOF) {
        bytes++;
        if (c == '\n') lines++;
        if (isspace(c)) inside = 0;
        else if (!inside) {
            inside = 1;
            words++;
        }
    }
    printf("{\"lines\":%ld,\"words\":%ld,\"bytes\":%ld}\n", lines, words, bytes);
    return 0;
}
