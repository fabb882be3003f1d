/* Avatars: what a configuration describes, checked and converted to the compositor's form, in one allocation. */
#include <stdlib.h>
#include <string.h>

#include "avatar.h"
#include "dsp.h"

/* ---- loading ---- */

static void fill_background(lw_avatar *a, const lw_image *image)
{
    const size_t w = (size_t)a->width, h = (size_t)a->height;
    const lw_rgb_matrix *m = &lw_rgb_matrices[a->matrix];
    uint8_t *u = a->background + w * h, *v = u + w * h / 4;
    for (size_t y = 0; y < h; y += 2) {
        const uint8_t *top = image->rgba + 4 * w * y, *below = top + 4 * w;
        lw_kernels.rgba_luma(a->background + w * y, top, w, m);
        lw_kernels.rgba_luma(a->background + w * (y + 1), below, w, m);
        lw_kernels.rgba_chroma(u + w / 2 * (y / 2), v + w / 2 * (y / 2), top, below, w / 2, m);
    }
}

static int bad_config(const lw_avatar_config *c)
{
    if (!c || lw_size_check(c->width, c->height) || !c->images || c->image_count < 1 || c->image_count > 65536 || c->layer_count < 0 ||
        c->layer_count > LW_MAX_LAYERS || (c->layer_count && !c->layers) ||
        (c->matrix != LW_BT709 && c->matrix != LW_BT601))
        return 1;
    for (int32_t i = 0; i < c->image_count; i++)
        if (!c->images[i].rgba || c->images[i].width < 1 || c->images[i].height < 1 || c->images[i].width > LW_IMAGE_MAX ||
            c->images[i].height > LW_IMAGE_MAX)
            return 1;
    if (c->images[0].width != c->width || c->images[0].height != c->height)
        return 1;
    if (c->mouth_coords && (c->mouth_dims < 1 || c->mouth_dims > LW_MOUTH_DIMS || c->mouth_count < 1 ||
                            c->mouth_count > c->image_count || !c->viseme_coords))
        return 1;
    for (int32_t i = 0; i < c->layer_count; i++) {
        const lw_layer *l = &c->layers[i];
        if (l->first_image < 0 || l->image_count < 1 || l->image_count > c->image_count - l->first_image ||
            l->select < LW_SELECT_MOUTH || l->select >= LW_AXES || l->pivot_x8 < -LW_FARTHEST ||
            l->pivot_x8 > LW_FARTHEST || l->pivot_y8 < -LW_FARTHEST || l->pivot_y8 > LW_FARTHEST)
            return 1;
        for (int32_t k = 1; k < l->image_count; k++)
            if (c->images[l->first_image + k].width != c->images[l->first_image].width ||
                c->images[l->first_image + k].height != c->images[l->first_image].height)
                return 1;
        if (l->select == LW_SELECT_MOUTH &&
            (!c->mouth_coords || l->image_count != c->mouth_count))
            return 1;
    }
    return 0;
}

static void layout(lw_avatar *a, lw_arena *arena)
{
    a->sprites = lw_carve(arena, (size_t)a->image_count * sizeof(lw_sprite_data));
    a->layers = lw_carve(arena, (size_t)a->layer_count * sizeof(lw_layer));
    a->mouth_coords = lw_carve(arena, (size_t)a->mouth_count * a->mouth_dims * sizeof(int16_t));
    a->viseme_coords = lw_carve(arena, (size_t)LW_VISEMES * a->mouth_dims * sizeof(int16_t));
    a->background = lw_carve(arena, (size_t)a->width * a->height * 3 / 2);
}

static int32_t nearest_mouth(const lw_avatar *a, const int32_t *point)
{
    int32_t best = 0;
    int64_t best_distance = INT64_MAX;
    for (int32_t i = 0; i < a->mouth_count; i++) {
        int64_t distance = 0;
        for (int32_t d = 0; d < a->mouth_dims; d++) {
            int64_t e = point[d] - a->mouth_coords[i * a->mouth_dims + d];
            distance += e * e;
        }
        if (distance < best_distance)
            best = i, best_distance = distance;
    }
    return best;
}

int32_t lw_avatar_mouth(const lw_avatar *a, const lw_pose *pose)
{
    int32_t point[LW_MOUTH_DIMS], rest = 32767;
    int64_t sum[LW_MOUTH_DIMS] = {0};
    for (int i = 0; i < LW_VISEMES; i++) {
        rest -= pose->viseme[i];
        for (int32_t d = 0; d < a->mouth_dims; d++)
            sum[d] += (int32_t)pose->viseme[i] * a->viseme_coords[i * a->mouth_dims + d];
    }
    for (int32_t d = 0; d < a->mouth_dims; d++)
        point[d] = (int32_t)((sum[d] + (int64_t)(rest > 0 ? rest : 0) * a->viseme_coords[d]) >> 15);
    return nearest_mouth(a, point);
}

int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (bad_config(config))
        return LW_EINVAL;
    int has_mouth = config->mouth_coords != NULL;
    lw_avatar want = {.width = config->width,
                      .height = config->height,
                      .matrix = config->matrix,
                      .image_count = config->image_count,
                      .layer_count = config->layer_count,
                      .mouth_dims = has_mouth ? config->mouth_dims : 0,
                      .mouth_count = has_mouth ? config->mouth_count : 0};
    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    for (int32_t i = 1; i < config->image_count; i++) {
        lw_sprite_data s = lw_sprite_measure(&config->images[i]);
        lw_sprite_carve(&s, &arena);
    }
    lw_avatar *a = calloc(1, arena.used);
    if (!a)
        return LW_ENOMEM;
    *a = want;
    a->bytes = arena.used;
    arena = (lw_arena){.base = (uint8_t *)a};
    lw_carve(&arena, sizeof want);
    layout(a, &arena);
    for (int32_t i = 1; i < a->image_count; i++) {
        a->sprites[i] = lw_sprite_measure(&config->images[i]);
        lw_sprite_carve(&a->sprites[i], &arena);
        lw_sprite_fill(&a->sprites[i], &config->images[i], &lw_rgb_matrices[config->matrix]);
    }
    fill_background(a, &config->images[0]);
    if (a->layer_count)
        memcpy(a->layers, config->layers, (size_t)a->layer_count * sizeof(lw_layer));
    a->head = lw_head_find(a);
    if (has_mouth) {
        memcpy(a->mouth_coords, config->mouth_coords, (size_t)a->mouth_count * a->mouth_dims * sizeof(int16_t));
        memcpy(a->viseme_coords, config->viseme_coords, (size_t)LW_VISEMES * a->mouth_dims * sizeof(int16_t));
        lw_pose rest = {0};
        a->rest_mouth = lw_avatar_mouth(a, &rest);
    }
    *out = a;
    return 0;
}

int lw_avatar_width(const lw_avatar *a)
{
    return a->width;
}

int lw_avatar_height(const lw_avatar *a)
{
    return a->height;
}

int lw_avatar_matrix(const lw_avatar *a)
{
    return a->matrix;
}

int lw_avatar_head(const lw_avatar *a, int32_t *first, int32_t *anchor)
{
    if (!a || !first || !anchor)
        return LW_EINVAL;
    *first = a->head.first;
    *anchor = a->head.anchor;
    return a->head.count;
}

size_t lw_avatar_bytes(const lw_avatar *a)
{
    return a->bytes;
}

void lw_avatar_close(lw_avatar **a)
{
    if (a) {
        free(*a);
        *a = NULL;
    }
}
