/*
 * A JSON scanner that finds string members of the top level and nothing else (RFC 8259): the plugin needs "socket" and
 * "cniVersion" of its configuration. It reads no byte outside its input, keeps no state and uses no stack for nesting.
 * Whether the rest of the text is valid is the agent's to judge.
 */
#ifndef BREAKWATER_JSON_SCAN_H
#define BREAKWATER_JSON_SCAN_H
#include <stddef.h>
#include <string.h>

struct scan {
  const unsigned char *at, *end;
};

static void skip_space(struct scan *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static int hex4(const unsigned char *p, unsigned *value) {
  *value = 0;
  for (int i = 0; i < 4; i++) {
    unsigned char c = p[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return 0;
    *value = *value << 4 | (unsigned)digit;
  }
  return 1;
}

/* UTF-8 of one code point (RFC 3629, section 3); returns the number of bytes. */
static size_t utf8(unsigned cp, char out[4]) {
  if (cp < 0x80) return out[0] = (char)cp, 1;
  if (cp < 0x800) return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 63)), 2;
  if (cp < 0x10000)
    return out[0] = (char)(0xe0 | cp >> 12), out[1] = (char)(0x80 | (cp >> 6 & 63)), out[2] = (char)(0x80 | (cp & 63)), 3;
  out[0] = (char)(0xf0 | cp >> 18), out[1] = (char)(0x80 | (cp >> 12 & 63));
  return out[2] = (char)(0x80 | (cp >> 6 & 63)), out[3] = (char)(0x80 | (cp & 63)), 4;
}

/* One escape after its backslash, decoded; returns its number of bytes, 0 when malformed. NUL is refused: paths end there. */
static size_t scan_escape(struct scan *s, char out[4]) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (s->at >= s->end) return 0;
  unsigned char c = *s->at++;
  if (c != 'u') {
    const char *hit = c ? strchr(from, c) : NULL;
    return hit ? (out[0] = to[hit - from], 1) : 0;
  }
  unsigned cp, low;
  if (s->end - s->at < 4 || !hex4(s->at, &cp) || cp == 0) return 0;
  s->at += 4;
  /* A surrogate pair is two escapes (RFC 8259, section 7); a lone surrogate has no UTF-8 form. */
  if (cp >= 0xd800 && cp < 0xdc00) {
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u' || !hex4(s->at + 2, &low)) return 0;
    if (low < 0xdc00 || low > 0xdfff) return 0;
    s->at += 6;
    cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
  } else if (cp >= 0xdc00 && cp < 0xe000) {
    return 0;
  }
  return utf8(cp, out);
}

/*
 * One string, the cursor on its opening quote. Decodes into out (NUL-terminated) as far as it fits; *fits says whether
 * all of it did. Returns 0 when malformed.
 */
static int scan_string(struct scan *s, char *out, size_t size, int *fits) {
  size_t used = 0;
  *fits = 1;
  if (s->at >= s->end || *s->at != '"') return 0;
  for (s->at++; s->at < s->end;) {
    unsigned char c = *s->at++;
    char bytes[4] = {(char)c};
    size_t n = 1;
    if (c == '"') return out[used] = 0, 1;
    if (c < 0x20) return 0;
    if (c == '\\' && (n = scan_escape(s, bytes)) == 0) return 0;
    if (used + n < size)
      memcpy(out + used, bytes, n), used += n;
    else
      *fits = 0;
  }
  return 0;
}

/* Skips one value of any kind. Nesting is counted, not recursed: depth costs no stack. */
static int skip_value(struct scan *s) {
  char ignored[1];
  int fits;
  long depth = 0;
  while (s->at < s->end) {
    unsigned char c = *s->at;
    if (c == '"') {
      if (!scan_string(s, ignored, sizeof ignored, &fits)) return 0;
      if (depth == 0) return 1;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return 1;
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    s->at++;
    if (depth == 0 && (c == '}' || c == ']')) return 1;
  }
  return 0;
}

/*
 * The string member `key` of a top-level object; the last one counts, as in JSON.parse. Returns 1 when found, 0 when
 * there is none, -1 when the text is no object or the value does not fit. Validity of the rest is the agent's to judge.
 */
static int json_top_string(const unsigned char *text, size_t length, const char *key, char *out, size_t size) {
  struct scan s = {text, text + length};
  char name[64];
  int fits, found = 0;
  skip_space(&s);
  if (s.at >= s.end || *s.at++ != '{') return -1;
  for (;;) {
    skip_space(&s);
    if (s.at < s.end && *s.at == '}') return found;
    if (!scan_string(&s, name, sizeof name, &fits)) return -1;
    int wanted = fits && strcmp(name, key) == 0;
    skip_space(&s);
    if (s.at >= s.end || *s.at++ != ':') return -1;
    skip_space(&s);
    if (wanted && s.at < s.end && *s.at == '"') {
      if (!scan_string(&s, out, size, &fits) || !fits) return -1;
      found = 1;
    } else if (!skip_value(&s)) {
      return -1;
    }
    skip_space(&s);
    if (s.at < s.end && *s.at == ',')
      s.at++;
    else if (s.at >= s.end || *s.at != '}')
      return -1;
  }
}

#endif
