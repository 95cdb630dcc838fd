// Generated from schema/compilation-config.source.json by `pnpm generate`. Do not edit: change the schema and generate again.
/** One broken keyword, as ajv reports it. */
export interface ValidationError {
  /** JSON pointer of the value. */
  instancePath: string;
  schemaPath: string;
  keyword: string;
  params: Record<string, unknown>;
  message?: string;
}
/** True when `data` follows the schema; otherwise `validate.errors` lists every breach until the next call. */
export declare const validate: {
  (data: unknown): boolean;
  errors?: ValidationError[] | null;
};
