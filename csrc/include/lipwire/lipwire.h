/* Lipwire's core, all of it. base.h says what holds for every function; each of the others has one subject, in the order
 * in which speech passes through them. */
#ifndef LIPWIRE_H
#define LIPWIRE_H

#include "lipwire/base.h"
#include "lipwire/resample.h"
#include "lipwire/g711.h"
#include "lipwire/g722.h"
#include "lipwire/opus.h"
#include "lipwire/jitter.h"
#include "lipwire/ingest.h"
#include "lipwire/viseme.h"
#include "lipwire/speech.h"
#include "lipwire/motion.h"
#include "lipwire/face.h"
#include "lipwire/motion_stream.h"
#include "lipwire/picture.h"
#include "lipwire/avatar.h"
#include "lipwire/stitch.h"
#include "lipwire/performer.h"
#include "lipwire/share.h"
#include "lipwire/engine.h"
#include "lipwire/net.h"

#endif
