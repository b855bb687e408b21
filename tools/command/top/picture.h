/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of a look: lines of text in so many columns and rows, each with a style. It is drawn on a screen, or printed; what
 * stands in it is decided here, without a terminal.
 */
#ifndef TOOLS_COMMAND_TOP_PICTURE_H
#define TOOLS_COMMAND_TOP_PICTURE_H

#include "command/top/sheet.h"

#define TKR_TOP_COLUMNS_MAX 500

/* What the picture is to be. */
struct tkr_top_wish {
    enum tkr_top_part part;
    struct tkr_top_order order;
    size_t first;       /* rows of a part that are scrolled over; of ALL none are */
    size_t limit;       /* rows of each part, where there is no screen */
    bool help;          /* the keys instead of figures */
    bool paused;        /* said so */
    double interval_s;  /* said so; 0: not */
    const char *prompt; /* the last line of a screen; NULL: the keys */
};

enum tkr_top_style { TKR_TOP_PLAIN, TKR_TOP_TITLE, TKR_TOP_HEADING, TKR_TOP_ALARM, TKR_TOP_FOOT };

struct tkr_top_picture_line {
    enum tkr_top_style style;
    char *text; /* clean, as many columns as the picture has */
};

struct tkr_top_picture {
    struct tkr_top_picture_line *line;
    size_t count;
    size_t room;
    size_t rows; /* of the part, that are there to be scrolled through */
};

/*
 * Draws a look into an empty or an older picture: columns 1..TKR_TOP_COLUMNS_MAX; rows of the screen, exactly so many lines, or 0:
 * as many lines as are needed for wish->limit rows of each part. false: no memory. tkr_top_picture_free in any case.
 */
bool tkr_top_picture_draw(const struct tkr_top_look *look, const struct tkr_top_wish *wish, size_t columns, size_t rows,
                          struct tkr_top_picture *picture);

/* Accepts a zeroed structure. */
void tkr_top_picture_free(struct tkr_top_picture *picture);

#endif
