/* Composition, against a slow reference written from the header and the documented rounding; and dirty rectangles,
 * against drawing everything. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lipwire/lipwire.h"

#define MAX_IMAGES 40
#define MAX_PIXELS (200 * 200)
#define GUARD 64

static const uint64_t golden = 0x00bfff2cb56becdau;

/* ---- random avatars ---- */

typedef struct scene {
    lw_avatar_config config;
    lw_image images[MAX_IMAGES];
    lw_layer layers[LW_MAX_LAYERS];
    int16_t mouths[16 * LW_MOUTH_DIMS], visemes[LW_VISEMES * LW_MOUTH_DIMS];
    lw_avatar *avatar;
    int head_first, head_count; /* layers that are one thing; 0: there is no head */
} scene;

enum fill { FILL_NOISE, FILL_SOLID, FILL_DISC, FILL_EMPTY, FILL_SPARSE };

static uint8_t *make_image(lw_image *image, int32_t w, int32_t h, enum fill fill)
{
    uint8_t *p = malloc((size_t)w * h * 4);
    if (!p)
        exit(1);
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            uint8_t *at = p + ((size_t)y * w + x) * 4;
            double dx = (x + 0.5) / w - 0.5, dy = (y + 0.5) / h - 0.5, d = 2.0 * sqrt(dx * dx + dy * dy);
            for (int c = 0; c < 3; c++)
                at[c] = (uint8_t)random_in(0, 255);
            at[3] = fill == FILL_SOLID                      ? 255
                    : fill == FILL_EMPTY                    ? 0
                    : fill == FILL_NOISE                    ? (uint8_t)random_in(0, 255)
                    : fill == FILL_SPARSE                   ? (uint8_t)(random_in(0, 7) ? 0 : random_in(1, 255))
                    : d < 0.6                               ? 255
                    : d < 1.0                               ? (uint8_t)((1.0 - d) / 0.4 * 255.0)
                                                            : 0;
        }
    *image = (lw_image){p, w, h};
    return p;
}

static void make_scene(scene *s, int32_t width, int32_t height, int layers)
{
    memset(s, 0, sizeof *s);
    s->config = (lw_avatar_config){.width = width,
                                   .height = height,
                                   .images = s->images,
                                   .image_count = 1,
                                   .layers = s->layers,
                                   .layer_count = layers,
                                   .mouth_dims = 1 + random_in(0, LW_MOUTH_DIMS - 1),
                                   .mouth_count = 9,
                                   .mouth_coords = s->mouths,
                                   .viseme_coords = s->visemes};
    s->config.matrix = random_in(0, 1);
    make_image(&s->images[0], width, height, FILL_SOLID);
    for (size_t i = 0; i < sizeof s->mouths / sizeof *s->mouths; i++)
        s->mouths[i] = (int16_t)random_in(-8000, 8000);
    for (size_t i = 0; i < sizeof s->visemes / sizeof *s->visemes; i++)
        s->visemes[i] = (int16_t)random_in(-8000, 8000);
    for (int i = 0; i < layers; i++) {
        lw_layer *l = &s->layers[i];
        int32_t w = random_in(1, i == 0 ? width * 2 : 40), h = random_in(1, i == 0 ? height * 2 : 40);
        l->select = i == 1 ? LW_SELECT_MOUTH : i % 3 == 2 ? random_in(0, LW_AXES - 1) : LW_SELECT_FIXED;
        l->first_image = s->config.image_count;
        l->image_count = i == 1 ? s->config.mouth_count : random_in(1, 3);
        for (int k = 0; k < l->image_count; k++)
            make_image(&s->images[s->config.image_count++], w, h, (enum fill)random_in(0, 4));
        l->x8 = random_in(-w * 8, width * 8);
        l->y8 = random_in(-h * 8, height * 8);
        for (int a = 0; a < LW_AXES; a++) {
            l->kx8[a] = random_in(0, 1) * random_in(-300, 300);
            l->ky8[a] = random_in(0, 1) * random_in(-300, 300);
            l->kangle[a] = i % 2 ? random_in(0, 1) * random_in(-9000, 9000) : 0;
        }
        l->pivot_x8 = random_in(-8 * w, 16 * w);
        l->pivot_y8 = random_in(-8 * h, 16 * h);
    }
    if (lw_avatar_open(&s->avatar, &s->config) < 0 || !s->avatar) {
        CHECK(0, "a valid avatar opens");
        exit(1);
    }
}

static void drop_scene(scene *s)
{
    lw_avatar_close(&s->avatar);
    for (int i = 0; i < s->config.image_count; i++)
        free((void *)(uintptr_t)s->images[i].rgba);
}

static void random_pose(lw_pose *pose, int wild)
{
    int left = 32767;
    for (int i = 0; i < LW_AXES; i++)
        if (wild || random_in(0, 5) == 0)
            pose->axis[i] = (int16_t)(i == LW_AXIS_BREATH || i == LW_AXIS_BLINK || i == LW_AXIS_JAW ? random_in(0,
                32767)
                                                                                                    : random_in(-32767,
                                                                                                        32767));
    if (wild || random_in(0, 3) == 0)
        for (int i = 0; i < LW_VISEMES; i++) {
            int w = random_in(0, 2) ? 0 : random_in(0, left);
            pose->viseme[i] = (int16_t)w;
            left -= w;
        }
}

/* ---- reference ---- */

/* One row of Rec. ITU-R BT.709-6 or BT.601-7 for limited range: plane 0..2 of RGB, unrounded, black at 0. The
 * coefficients are rounded to 1/16384, the largest in luma and the middle one in chroma so that their sum is right. */
static double rgb_row(const uint8_t *p, int plane, int matrix)
{
    const double kr = matrix ? 0.299 : 0.2126, kb = matrix ? 0.114 : 0.0722, scale = 16384.0 / 255.0;
    double r, b, sum;
    if (plane == 0)
        r = kr * 219.0, b = kb * 219.0, sum = 219.0;
    else if (plane == 1)
        r = -kr / (2.0 - 2.0 * kb) * 224.0, b = 112.0, sum = 0.0;
    else
        r = 112.0, b = -kb / (2.0 - 2.0 * kr) * 224.0, sum = 0.0;
    r = floor(r * scale + 0.5), b = floor(b * scale + 0.5), sum = floor(sum * scale + 0.5);
    return (r * p[0] + (sum - r - b) * p[1] + b * p[2]) / 16384.0;
}

static int luma_of(const uint8_t *p, int matrix)
{
    return (int)floor(rgb_row(p, 0, matrix) + 16.5);
}

static int chroma_of(const uint8_t *p, int v)
{
    return (int)floor(rgb_row(p, 1 + v, 0) + 128.5);
}

/* Premultiplied value and alpha of pixel (x, y) of plane 0..2 of an image; transparent outside. */
static int texel(const lw_image *image, int plane, int x, int y, int matrix, int *alpha)
{
    *alpha = 0;
    if (plane == 0) {
        if (x < 0 || y < 0 || x >= image->width || y >= image->height)
            return 0;
        const uint8_t *p = image->rgba + ((size_t)y * image->width + x) * 4;
        *alpha = p[3];
        return (int)floor(luma_of(p, matrix) * p[3] / 255.0 + 0.5);
    }
    double sum = 0.0, weight = 0.0;
    for (int k = 0; k < 4; k++) {
        int px = 2 * x + (k & 1), py = 2 * y + (k >> 1);
        if (px < 0 || py < 0 || px >= image->width || py >= image->height)
            continue;
        const uint8_t *p = image->rgba + ((size_t)py * image->width + px) * 4;
        sum += (rgb_row(p, plane, matrix) + 128.0) * p[3];
        weight += p[3];
    }
    *alpha = (int)floor(weight / 4.0 + 0.5);
    return (int)floor(sum / 1020.0 + 0.5);
}

/* Texels of one image and plane, with a transparent border, so that the reference is not hopelessly slow. */
typedef struct texture {
    int w, h;
    uint8_t *value, *alpha;
} texture;

static texture textures[MAX_IMAGES][3];

static void make_textures(const scene *s)
{
    for (int i = 0; i < s->config.image_count; i++)
        for (int plane = 0; plane < 3; plane++) {
            texture *t = &textures[i][plane];
            t->w = (s->images[i].width + (plane != 0)) / (plane ? 2 : 1);
            t->h = (s->images[i].height + (plane != 0)) / (plane ? 2 : 1);
            t->value = malloc((size_t)t->w * t->h);
            t->alpha = malloc((size_t)t->w * t->h);
            for (int k = 0; k < t->w * t->h; k++) {
                int a;
                t->value[k] = (uint8_t)texel(&s->images[i], plane, k % t->w, k / t->w, s->config.matrix, &a);
                t->alpha[k] = (uint8_t)a;
            }
        }
}

static void drop_textures(const scene *s)
{
    for (int i = 0; i < s->config.image_count; i++)
        for (int plane = 0; plane < 3; plane++) {
            free(textures[i][plane].value);
            free(textures[i][plane].alpha);
        }
}

static int sample(const texture *t, const uint8_t *data, int x16, int y16)
{
    int x = (int)floor(x16 / 16.0), y = (int)floor(y16 / 16.0), fx = x16 - 16 * x, fy = y16 - 16 * y, sum = 128;
    for (int k = 0; k < 4; k++) {
        int px = x + (k & 1), py = y + (k >> 1), weight = (k & 1 ? fx : 16 - fx) * (k >> 1 ? fy : 16 - fy);
        if (px >= 0 && py >= 0 && px < t->w && py < t->h)
            sum += weight * data[py * t->w + px];
    }
    return sum / 256;
}

/* Where pixel (x, y) of a plane comes from in an image that is turned about its pivot: turned back by an angle whose
 * sine and cosine are rounded to 1/65536; the place then is rounded to 1/65536 and then to 1/16. */
static void turn_back(const lw_layer *l, const lw_canvas *c, int i, int half, int x, int y, int *x16, int *y16)
{
    const double unit = half ? 16.0 : 8.0, turn = c->angle[i] / 65536.0 * 2.0 * 3.14159265358979323846;
    const double cos_q = floor(cos(turn) * 65536.0 + 0.5) / 65536.0, sin_q = floor(sin(turn) * 65536.0 + 0.5) / 65536.0;
    const double px = l->pivot_x8 / unit, py = l->pivot_y8 / unit;
    const double dx = x + 0.5 - c->x8[i] / unit - px, dy = y + 0.5 - c->y8[i] / unit - py;
    const double u = floor((dx * cos_q + dy * sin_q) * 65536.0 + 0.5) / 65536.0 + px - 0.5;
    const double v = floor((dy * cos_q - dx * sin_q) * 65536.0 + 0.5) / 65536.0 + py - 0.5;
    *x16 = (int)floor(u * 16.0 + 0.5);
    *y16 = (int)floor(v * 16.0 + 0.5);
}

/* The layer of the head that covers most. */
static int anchor_of(const scene *s)
{
    int best = s->head_first;
    long most = -1;
    for (int i = s->head_first; i < s->head_first + s->head_count; i++) {
        const lw_image *image = &s->images[s->layers[i].first_image];
        long count = 0;
        for (long k = 0; k < (long)image->width * image->height; k++)
            count += image->rgba[4 * k + 3] == 255;
        if (count > most)
            most = count, best = i;
    }
    return best;
}

/* `value` with a sample of the texture over it. */
static int over(const texture *t, const uint8_t *data, int x16, int y16, int value)
{
    if (x16 <= -16 || y16 <= -16 || x16 >= 16 * t->w || y16 >= 16 * t->h)
        return value;
    const int product = value * (255 - sample(t, t->alpha, x16, y16));
    value = sample(t, data, x16, y16) + (product + product / 256 + 128) / 256;
    return value > 255 ? 255 : value;
}

/* The head upright, as it is before it is turned, on the pixels of one of its layers' image, whose corner is at (BEFORE,
 * BEFORE). */
#define BEFORE 64
static texture head_texture(const scene *s, const lw_canvas *c, int plane, int anchor)
{
    static uint8_t value[320 * 272], alpha[320 * 272];
    const int half = plane != 0;
    texture t = {320 >> half, 272 >> half, value, alpha};
    for (int y = 0; y < t.h; y++)
        for (int x = 0; x < t.w; x++) {
            int v = 0, a = 0;
            for (int i = s->head_first; i < s->head_first + s->head_count; i++) {
                const texture *of = &textures[c->image[i]][plane];
                const int unit = half ? 1 : 2, x16 = 16 * (x - (BEFORE >> half)) - (c->x8[i] - c->x8[anchor]) * unit,
                          y16 = 16 * (y - (BEFORE >> half)) - (c->y8[i] - c->y8[anchor]) * unit;
                v = over(of, of->value, x16, y16, v);
                a = over(of, of->alpha, x16, y16, a);
            }
            value[y * t.w + x] = (uint8_t)v;
            alpha[y * t.w + x] = (uint8_t)a;
        }
    return t;
}

static void reference(const scene *s, const lw_canvas *c, uint8_t *frame)
{
    int32_t w = s->config.width, h = s->config.height;
    const int anchor = s->head_count ? anchor_of(s) : -1;
    for (int plane = 0; plane < 3; plane++) {
        int half = plane != 0, pw = w >> half, ph = h >> half;
        texture head = {0};
        if (s->head_count)
            head = head_texture(s, c, plane, anchor);
        uint8_t *out = frame + (plane == 0 ? 0 : plane == 1 ? w * h : w * h * 5 / 4);
        for (int y = 0; y < ph; y++)
            for (int x = 0; x < pw; x++) {
                int value;
                if (plane == 0) {
                    value = luma_of(s->images[0].rgba + ((size_t)y * w + x) * 4, s->config.matrix);
                } else {
                    double sum = 0.0;
                    for (int k = 0; k < 4; k++)
                        sum += rgb_row(s->images[0].rgba + ((size_t)(2 * y + (k >> 1)) * w + 2 * x + (k & 1)) * 4,
                                       plane, s->config.matrix);
                    value = (int)floor(sum / 4.0 + 128.5);
                }
                for (int i = 0; i < s->config.layer_count; i++) {
                    const int headed = s->head_count && i == s->head_first && c->angle[i];
                    const int layer = headed ? anchor : i, border = headed ? 16 * (BEFORE >> half) : 0;
                    const texture *t = headed ? &head : &textures[c->image[i]][plane];
                    int x16 = 16 * x - c->x8[layer] * (half ? 1 : 2), y16 = 16 * y - c->y8[layer] * (half ? 1 : 2);
                    if (c->angle[layer])
                        turn_back(&s->layers[layer], c, layer, half, x, y, &x16, &y16);
                    value = over(t, t->value, x16 + border, y16 + border, value);
                    i += headed ? s->head_count - 1 : 0;
                }
                out[y * pw + x] = (uint8_t)value;
            }
    }
}

/* ---- tests ---- */

static int32_t placed(int32_t at8, const int32_t *gain, const lw_pose *pose)
{
    double sum = 0.0;
    for (int i = 0; i < LW_AXES; i++)
        sum += (double)gain[i] * pose->axis[i];
    return at8 + (int32_t)floor(sum / 32768.0 + 0.5);
}

/* The distance, in coordinates, by which the chosen mouth is farther than the nearest. */
static double mouth_excess(const scene *s, const lw_pose *pose, int32_t chosen)
{
    double best = 1e9, mine = 0.0;
    int dims = s->config.mouth_dims;
    for (int i = 0; i < s->config.mouth_count; i++) {
        double sum = 0.0;
        for (int d = 0; d < dims; d++) {
            double at = 0.0, rest = 1.0;
            for (int k = 0; k < LW_VISEMES; k++) {
                at += pose->viseme[k] / 32767.0 * s->visemes[k * dims + d];
                rest -= pose->viseme[k] / 32767.0;
            }
            at += rest * s->visemes[d] - s->mouths[i * dims + d];
            sum += at * at;
        }
        best = sqrt(sum) < best ? sqrt(sum) : best;
        mine = i == chosen ? sqrt(sum) : mine;
    }
    return mine - best;
}

static int guarded(const uint8_t *frame, size_t bytes)
{
    for (int i = 0; i < GUARD; i++)
        if (frame[i] != 0xA5 || frame[GUARD + bytes + i] != 0xA5)
            return 0;
    return 1;
}

static void test_drawing(void)
{
    static const int32_t sizes[][2] = {{96, 80}, {16, 16}, {34, 50}, {130, 98}, {18, 200}, {100, 62}};
    int same = 1, exact = 1, guards = 1, still = 1, counted = 1, where = 1, nearest = 1, opened = 1;
    int drawn = 0, opens = 0, turned = 0;
    uint64_t hash = 14695981039346656037u;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        scene s;
        int32_t w = sizes[k][0], h = sizes[k][1];
        size_t bytes = (size_t)w * h * 3 / 2;
        random_state = 100 + k;
        make_scene(&s, w, h, k == 0 ? 8 : random_in(2, 12));
        make_textures(&s);
        uint8_t *kept = malloc(bytes + 2 * GUARD), *fresh = malloc(bytes + 2 * GUARD), *before = malloc(bytes),
                *slow = malloc(bytes);
        memset(kept, 0xA5, bytes + 2 * GUARD);
        memset(fresh, 0xA5, bytes + 2 * GUARD);
        lw_canvas canvas = {0};
        lw_pose pose = {0}, rest = {0};
        int32_t rest_image = 0;
        for (int i = 0; i < 400; i++) {
            lw_canvas forgotten = {0};
            int open = -1;
            random_pose(&pose, random_in(0, 9) == 0);
            if (i == 0)
                pose = rest;
            memcpy(before, kept + GUARD, bytes);
            int pixels = lw_avatar_draw(s.avatar, &pose, kept + GUARD, &canvas, NULL, &open), changed = 0;
            for (int32_t p = 0; p < w * h; p++)
                changed += before[p] != kept[GUARD + p];
            counted &= pixels >= changed && pixels <= w * h && (i || pixels == w * h);
            memset(fresh + GUARD, random_in(0, 255), bytes);
            counted &= lw_avatar_draw(s.avatar, &pose, fresh + GUARD, &forgotten, NULL, NULL) == w * h;
            same &= !memcmp(kept + GUARD, fresh + GUARD, bytes) && !memcmp(&canvas, &forgotten, sizeof canvas);
            guards &= guarded(kept, bytes) && guarded(fresh, bytes);
            for (size_t n = 0; n < bytes && i % 8 == 0; n++)
                hash = (hash ^ kept[GUARD + n]) * 1099511628211u;
            memcpy(before, kept + GUARD, bytes);
            still &= lw_avatar_draw(s.avatar, &pose, kept + GUARD, &canvas, NULL, NULL) == 0 &&
                     !memcmp(before, kept + GUARD, bytes);
            if (i % 8 == 0) {
                reference(&s, &canvas, slow);
                exact &= !memcmp(slow, kept + GUARD, bytes);
            }
            for (int n = 0; n < s.config.layer_count; n++) {
                const lw_layer *l = &s.layers[n];
                int pick = canvas.image[n] - l->first_image;
                where &= canvas.x8[n] == placed(l->x8, l->kx8, &pose) && canvas.y8[n] == placed(l->y8, l->ky8, &pose) &&
                         canvas.angle[n] == (placed(0, l->kangle, &pose) & 65535);
                turned += canvas.angle[n] != 0;
                if (l->select == LW_SELECT_MOUTH) {
                    nearest &= mouth_excess(&s, &pose, pick) < 8.0;
                    rest_image = i ? rest_image : pick;
                    opened &= open == (pick != rest_image);
                    opens += open;
                } else if (l->select >= 0) {
                    double at = (pose.axis[l->select] < 0 ? 0 : pose.axis[l->select]) / 32767.0 * (l->image_count - 1);
                    nearest &= fabs(pick - at) < 0.51;
                } else {
                    nearest &= pick == 0;
                }
            }
            drawn++;
        }
        free(kept);
        free(fresh);
        free(before);
        free(slow);
        drop_textures(&s);
        drop_scene(&s);
    }
    CHECK(same && drawn >= 2000, "what changed, redrawn, equals everything redrawn");
    CHECK(exact, "and equals the reference, bit for bit");
    printf("# golden %016llx\n", (unsigned long long)hash);
    CHECK(hash == golden, "golden frames: new ones only where the arithmetic was changed on purpose");
    CHECK(guards, "nothing outside the frame is written");
    CHECK(still, "the same pose draws nothing");
    CHECK(counted, "the count covers what changed");
    CHECK(where && turned > 1000, "positions and angles are linear in the axes");
    CHECK(nearest, "the nearest mouth, the bank image in proportion");
    CHECK(opened && opens > 100, "an open mouth is one that is not at rest");
}

/* A head that sways and tilts by a few degrees: large layers, mostly opaque, that hide each other, as long rows go, two of
 * them below the head proper; one of its layers has a bank of images. */
static void make_head(scene *s, int32_t width, int32_t height)
{
    static const enum fill fills[] = {FILL_DISC, FILL_SOLID, FILL_DISC, FILL_SOLID, FILL_NOISE, FILL_SPARSE};
    memset(s, 0, sizeof *s);
    s->config = (lw_avatar_config){.width = width, .height = height, .images = s->images, .image_count = 9,
                                   .layers = s->layers, .layer_count = 6};
    s->head_first = 2;
    s->head_count = 4;
    make_image(&s->images[0], width, height, FILL_SOLID);
    const int32_t x8 = random_in(0, 8 * width - 600), y8 = random_in(-100, 8 * height - 600);
    for (int i = 0, image = 1; i < 6; i++) {
        const int32_t w = random_in(i < 4 ? 90 : 30, i < 4 ? 180 : 100), h = random_in(i < 4 ? 60 : 20, 130);
        lw_layer *l = &s->layers[i];
        *l = (lw_layer){.first_image = image, .image_count = i == 4 ? 3 : 1,
                        .select = i == 4 ? LW_AXIS_JAW : LW_SELECT_FIXED,
                        .x8 = random_in(-200, 8 * width - 4 * w), .y8 = random_in(-200, 8 * height - 4 * h)};
        if (i >= s->head_first) {
            l->x8 = x8 + random_in(-160, 160);
            l->y8 = y8 + random_in(-160, 160);
        }
        for (int k = 0; k < l->image_count; k++)
            make_image(&s->images[image++], w, h, fills[i]);
        l->kx8[LW_AXIS_HEAD_X] = random_in(0, 90);
        l->ky8[LW_AXIS_HEAD_Y] = random_in(0, 90);
        l->ky8[LW_AXIS_BREATH] = i == 1 ? 16 : 0;
        l->kangle[LW_AXIS_HEAD_ROLL] = i == 1 ? 0 : 2200; /* 12 degrees */
        l->pivot_x8 = 8 * width / 2 - l->x8 + (i & 1);
        l->pivot_y8 = 8 * height - l->y8;
    }
    if (lw_avatar_open(&s->avatar, &s->config) < 0) {
        CHECK(0, "a head opens");
        exit(1);
    }
}

static void test_head(void)
{
    static const int32_t sizes[][2] = {{250, 140}, {200, 90}, {128, LW_SIZE_MAX}};
    int same = 1, exact = 1, guards = 1, refused = 1;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        scene s;
        const int32_t w = sizes[k][0], h = sizes[k][1];
        const size_t bytes = (size_t)w * h * 3 / 2;
        random_state = 300 + k;
        make_head(&s, w, h);
        make_textures(&s);
        uint8_t *kept = malloc(bytes + 2 * GUARD), *fresh = malloc(bytes + 2 * GUARD), *slow = malloc(bytes);
        memset(kept, 0xA5, bytes + 2 * GUARD);
        memset(fresh, 0xA5, bytes + 2 * GUARD);
        lw_canvas canvas = {0};
        lw_pose pose = {0};
        lw_head *head, *other;
        int opened = lw_head_open(&head, s.avatar) == 0 && lw_head_open(&other, s.avatar) == 0;
        CHECK(opened && head && other && lw_head_bytes(head) > 0, "a head has its memory");
        refused &= lw_avatar_draw(s.avatar, &pose, kept + GUARD, &canvas, NULL, NULL) == LW_EINVAL;
        for (int i = 0; i < (h < 1000 ? 120 : 13); i++) {
            lw_canvas forgotten = {0};
            for (int a = 0; a < 5; a++)
                if (!random_in(0, 2) && (i % 4 != 1 || a == 4)) { /* now and then the head stands, and its jaw moves */
                    static const int axes[] = {LW_AXIS_HEAD_X, LW_AXIS_HEAD_Y, LW_AXIS_BREATH, LW_AXIS_HEAD_ROLL,
                                               LW_AXIS_JAW};
                    pose.axis[axes[a]] =
                        (int16_t)(axes[a] == LW_AXIS_HEAD_ROLL && i % 5 == 4 ? 0 : random_in(-32767, 32767));
                }
            lw_avatar_draw(s.avatar, &pose, kept + GUARD, &canvas, head, NULL);
            if (i % 3 == 0) { /* made anew */
                lw_head_close(&other);
                lw_head_open(&other, s.avatar);
            }
            lw_avatar_draw(s.avatar, &pose, fresh + GUARD, &forgotten, other, NULL);
            same &= !memcmp(kept + GUARD, fresh + GUARD, bytes);
            guards &= guarded(kept, bytes) && guarded(fresh, bytes);
            if (i % 6 < 2) {
                reference(&s, &canvas, slow);
                exact &= !memcmp(slow, kept + GUARD, bytes);
            }
        }
        lw_head_close(&head);
        lw_head_close(&other);
        free(kept);
        free(fresh);
        free(slow);
        drop_textures(&s);
        drop_scene(&s);
    }
    CHECK(same, "a head: what changed, redrawn, equals everything redrawn");
    CHECK(exact, "a head: equals the reference, bit for bit");
    CHECK(guards, "a head: nothing outside the frame is written");
    CHECK(refused, "a head: not without its memory");
}

static void test_alpha(void)
{
    scene s = {0};
    uint8_t frame[32 * 32 * 3 / 2], back[sizeof frame];
    int ok = 1;
    for (int alpha = 0; alpha <= 255; alpha += 255)
        for (int offset = 0; offset < 16; offset++) {
            uint8_t *p = make_image(&s.images[1], 8, 8, FILL_SOLID);
            make_image(&s.images[0], 32, 32, FILL_SOLID);
            for (int i = 0; i < 64; i++)
                memcpy(p + 4 * i, (uint8_t[]){200, 30, 90, (uint8_t)alpha}, 4);
            s.layers[0] = (lw_layer){.first_image = 1, .image_count = 1, .select = LW_SELECT_FIXED, .x8 = 64 + offset,
                                     .y8 = 64 + offset};
            s.config = (lw_avatar_config){.width = 32, .height = 32, .images = s.images, .image_count = 2,
                                          .layers = s.layers, .layer_count = 0};
            lw_pose pose = {0};
            lw_canvas canvas = {0};
            ok &= lw_avatar_open(&s.avatar, &s.config) == 0 && lw_avatar_draw(s.avatar, &pose, back, &canvas, NULL, NULL) == 1024;
            lw_avatar_close(&s.avatar);
            s.config.layer_count = 1;
            canvas.valid = 0;
            ok &= lw_avatar_open(&s.avatar, &s.config) == 0 && lw_avatar_draw(s.avatar, &pose, frame, &canvas, NULL,
                NULL) == 1024;
            if (!alpha)
                ok &= !memcmp(frame, back, sizeof frame);
            else
                for (int y = 11; y < 15; y++)
                    for (int x = 11; x < 15; x++)
                        ok &= frame[32 * y + x] == luma_of(p, 0) && frame[1024 + 16 * 6 + 6] == chroma_of(p, 0) &&
                              frame[1280 + 16 * 6 + 6] == chroma_of(p, 1);
            s.config.image_count = 2;
            drop_scene(&s);
        }
    CHECK(ok, "alpha 0 leaves, alpha 255 replaces, exactly");
}

static void test_far_away(void)
{
    static const int32_t far[] = {INT32_MIN, -1000000000, -1000000, 1000000, 1000000000, INT32_MAX};
    scene s;
    random_state = 9;
    make_scene(&s, 48, 32, 2);
    size_t bytes = 48 * 32 * 3 / 2;
    uint8_t *frame = malloc(bytes), *empty = malloc(bytes);
    lw_pose pose = {0};
    lw_canvas canvas = {0};
    lw_avatar_config bare = s.config;
    lw_avatar *background = NULL;
    bare.layer_count = 0;
    int ok = lw_avatar_open(&background, &bare) == 0 && lw_avatar_draw(background, &pose, empty, &canvas, NULL, NULL) > 0;
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        lw_avatar_close(&s.avatar);
        for (int n = 0; n < 2; n++) {
            s.layers[n].x8 = far[i];
            s.layers[n].y8 = far[5 - i];
            for (int a = 0; a < LW_AXES; a++)
                s.layers[n].kx8[a] = far[i];
        }
        ok &= lw_avatar_open(&s.avatar, &s.config) == 0;
        canvas.valid = 0;
        for (int k = 0; k < 5; k++) {
            random_pose(&pose, 1);
            for (int a = 0; a < LW_AXES; a++)
                pose.axis[a] = (int16_t)abs(pose.axis[a]);
            ok &= lw_avatar_draw(s.avatar, &pose, frame, &canvas, NULL, NULL) >= 0 && !memcmp(frame, empty, bytes);
        }
    }
    CHECK(ok, "layers far away are not seen");
    free(frame);
    free(empty);
    lw_avatar_close(&background);
    drop_scene(&s);
}

static int refuses(const lw_avatar_config *config)
{
    lw_avatar *a = (lw_avatar *)(uintptr_t)16;
    int rc = lw_avatar_open(&a, config), ok = rc == LW_EINVAL && !a;
    if (rc == 0)
        lw_avatar_close(&a);
    return ok;
}

static void test_config(void)
{
    scene s;
    random_state = 4;
    make_scene(&s, 64, 48, 4);
    CHECK(lw_avatar_width(s.avatar) == 64 && lw_avatar_height(s.avatar) == 48 &&
              lw_avatar_bytes(s.avatar) > 64 * 48 * 3 / 2, "size and memory");
#define REFUSED(change, name)             \
    do {                                  \
        lw_avatar_config c = s.config;    \
        lw_image images[MAX_IMAGES];      \
        lw_layer layers[LW_MAX_LAYERS];   \
        memcpy(images, s.images, sizeof images); \
        memcpy(layers, s.layers, sizeof layers); \
        c.images = images;                \
        c.layers = layers;                \
        change;                           \
        CHECK(refuses(&c), name);         \
    } while (0)
    CHECK(refuses(NULL) && lw_avatar_open(NULL, &s.config) == LW_EINVAL, "no configuration, no place");
    REFUSED(c.width = images[0].width = 14, "too narrow");
    REFUSED(c.width = images[0].width = 4098, "too wide");
    REFUSED(c.width = images[0].width = 63, "odd width");
    REFUSED(c.height = images[0].height = 14, "too low");
    REFUSED(c.height = images[0].height = 4098, "too high");
    REFUSED(c.height = images[0].height = 47, "odd height");
    REFUSED(c.images = NULL, "no images");
    REFUSED(c.image_count = 0, "no background");
    REFUSED(c.image_count = -1, "negative images");
    REFUSED(images[0].width = 62, "a background of another width");
    REFUSED(images[0].height = 46, "a background of another height");
    REFUSED(images[2].rgba = NULL, "an image without pixels");
    REFUSED(images[2].width = 0, "an image without width");
    REFUSED(images[2].height = -3, "an image of negative height");
    REFUSED(c.layers = NULL, "no layers");
    REFUSED(c.layer_count = -1, "negative layers");
    REFUSED(c.layer_count = LW_MAX_LAYERS + 1, "too many layers");
    REFUSED(layers[0].first_image = -1, "a layer before the images");
    REFUSED(layers[0].first_image = c.image_count, "a layer behind the images");
    REFUSED(layers[0].first_image = INT32_MAX, "a layer far behind the images");
    REFUSED(layers[0].image_count = 0, "an empty bank");
    REFUSED(layers[0].image_count = INT32_MAX, "a bank beyond the images");
    REFUSED(layers[0].select = LW_AXES, "an axis that is none");
    REFUSED(layers[0].select = -3, "a selection that is none");
    REFUSED(layers[0].pivot_x8 = 524289, "a pivot too far right");
    REFUSED(layers[0].pivot_y8 = INT32_MIN, "a pivot too far up");
    REFUSED(c.matrix = 2, "a matrix that is none");
    REFUSED(c.matrix = -1, "a negative matrix");
    REFUSED(images[layers[1].first_image + 1].width--, "images of a layer that differ");
    REFUSED(c.mouth_count = 8, "fewer coordinates than mouths");
    REFUSED(c.mouth_dims = 0, "no mouth dimensions");
    REFUSED(c.mouth_dims = LW_MOUTH_DIMS + 1, "too many mouth dimensions");
    REFUSED(c.mouth_coords = NULL, "no mouth coordinates");
    REFUSED(c.viseme_coords = NULL, "no viseme coordinates");
    /* The same where no layer selects by mouth. */
    REFUSED((layers[1].select = LW_SELECT_FIXED, c.mouth_dims = 200), "too many mouth dimensions, no mouth");
    REFUSED((layers[1].select = LW_SELECT_FIXED, c.mouth_count = -1), "negative mouths, no mouth");
    REFUSED((layers[1].select = LW_SELECT_FIXED, c.viseme_coords = NULL), "no viseme coordinates, no mouth");
#undef REFUSED
    lw_pose pose = {0};
    lw_canvas canvas = {0};
    uint8_t byte = 0;
    CHECK(lw_avatar_draw(NULL, &pose, &byte, &canvas, NULL, NULL) == LW_EINVAL &&
              lw_avatar_draw(s.avatar, NULL, &byte, &canvas, NULL, NULL) == LW_EINVAL &&
              lw_avatar_draw(s.avatar, &pose, NULL, &canvas, NULL, NULL) == LW_EINVAL &&
              lw_avatar_draw(s.avatar, &pose, &byte, NULL, NULL, NULL) == LW_EINVAL, "nothing to draw with");
    lw_head *none = (lw_head *)(uintptr_t)16;
    CHECK(lw_head_open(&none, s.avatar) == 0 && !none && lw_head_bytes(NULL) == 0, "an avatar without a head");
    lw_head_close(&none);
    int32_t first = 9, anchor = 9;
    CHECK(lw_avatar_head(s.avatar, &first, &anchor) == 0 && !first && !anchor, "no layer of it is one's head");
    CHECK(lw_avatar_head(NULL, &first, &anchor) == LW_EINVAL && lw_avatar_head(s.avatar, NULL, &anchor) == LW_EINVAL &&
              lw_avatar_head(s.avatar, &first, NULL) == LW_EINVAL, "the head of nothing");
    CHECK(lw_head_open(NULL, s.avatar) == LW_EINVAL && lw_head_open(&none, NULL) == LW_EINVAL, "a head of nothing");
    drop_scene(&s);
    lw_avatar_close(&s.avatar);
    lw_avatar_close(NULL);
    CHECK(!s.avatar, "close nulls");
}

int main(void)
{
    test_drawing();
    test_head();
    test_alpha();
    test_far_away();
    test_config();
    return failures != 0;
}
