#include "tv_kernels.h"

/* Without a library, from tv_exp, which takes no x above 0; absolute error below 1e-6 of the largest of 1, |x| and the result. */

static float absolute(float x) { return x < 0.0f ? -x : x; }

/* e^x - 1 for x <= 0: a polynomial where the difference would cancel */
static float exp_minus_1(float x)
{
    if (x < -0.25f) return tv_exp(x) - 1.0f;
    return x * (1.0f + x * (0.5f + x * (0.166666667f + x * (0.0416666667f + x * (0.00833333333f + x * 0.00138888889f)))));
}

static float elu(float x, float alpha) { return x > 0.0f ? x : alpha * exp_minus_1(x); }

static float sigmoid(float x)
{
    const float e = tv_exp(-absolute(x));
    return x < 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e);
}

static float hyperbolic_tangent(float x)
{
    const float part = exp_minus_1(-2.0f * absolute(x)), size = -part / (part + 2.0f);
    return x < 0.0f ? -size : size;
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and log(1 + e) = 2 artanh s with s = e / (2 + e), at most 1/3 */
static float softplus(float x)
{
    const float e = tv_exp(-absolute(x)), s = e / (2.0f + e), t = s * s;
    const float more = 2.0f * s * (1.0f + t * (0.333333333f + t * (0.2f + t * (0.142857143f + t * (0.111111111f + t * (0.0909090909f + t * 0.0769230769f))))));
    return x > 0.0f ? x + more : more;
}

/* x Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2; erfc by Numerical Recipes' erfcc, relative error below 1.2e-7 */
static float gelu(float x)
{
    const float z = absolute(x) * 0.707106781f, t = 1.0f / (1.0f + 0.5f * z);
    const float power = t * (1.00002368f + t * (0.37409196f + t * (0.09678418f + t * (-0.18628806f + t * (0.27886807f
                      + t * (-1.13520398f + t * (1.48851587f + t * (-0.82215223f + t * 0.17087277f))))))));
    const float tail = 0.5f * t * tv_exp(-z * z - 1.26551223f + power);
    return x * (x > 0.0f ? 1.0f - tail : tail);
}

/* x tanh(log(1 + e^x)), multiplied out */
static float mish(float x)
{
    const float e = tv_exp(-absolute(x)), f = x < 0.0f ? e * (e + 2.0f) : 1.0f + 2.0f * e;
    return x * f / (f + (x < 0.0f ? 2.0f : 2.0f * e * e));
}

static float relu(const tv_activation_f32_layer *layer, float x)
{
    const float y = x < layer->threshold ? layer->alpha * (x - layer->threshold) : x;
    return layer->limited && y > layer->high ? layer->high : y;
}

static float hard_sigmoid(float x, float slope)
{
    const float z = slope * x + 0.5f;
    return z < 0.0f ? 0.0f : z > 1.0f ? 1.0f : z;
}

static float value(const tv_activation_f32_layer *layer, float x)
{
    switch (layer->function) {
    case TV_F_LINEAR: return x;
    case TV_F_RELU: return relu(layer, x);
    case TV_F_ELU: return elu(x, layer->alpha);
    case TV_F_SELU: return 1.05070099f * elu(x, 1.67326324f);
    case TV_F_SIGMOID: return sigmoid(x);
    case TV_F_HARD_SIGMOID: return hard_sigmoid(x, layer->alpha);
    case TV_F_TANH: return hyperbolic_tangent(x);
    case TV_F_SILU: return x * sigmoid(x);
    case TV_F_HARD_SILU: return x * hard_sigmoid(x, 0.166666667f);
    case TV_F_GELU: return gelu(x);
    case TV_F_MISH: return mish(x);
    case TV_F_SOFTPLUS: return softplus(x);
    case TV_F_SOFTSIGN: return x / (1.0f + absolute(x));
    case TV_F_EXPONENTIAL: return x > 0.0f ? 1.0f / tv_exp(-x) : tv_exp(x);
    }
    return x;
}

void tv_activation_f32(const tv_activation_f32_layer *layer, const float *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) y[i] = value(layer, x[i] + layer->start);
}
